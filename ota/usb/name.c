// File names: UTF-16 to UTF-8, and which names an update has.
#include "ota/usb/volume_impl.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

// One code point from `units`; 0 where it is not one. Advances `*i`.
static uint32_t code_point(const uint16_t *units, unsigned count, unsigned *i)
{
    const uint32_t unit = units[(*i)++];
    if (unit < 0xD800 || unit > 0xDFFF)
        return unit;
    if (unit > 0xDBFF || *i == count || units[*i] < 0xDC00 || units[*i] > 0xDFFF)
        return 0;
    return 0x10000 + ((unit - 0xD800) << 10) + (units[(*i)++] - 0xDC00u);
}

// C0 and C1 controls, what both specifications forbid, and the marks that turn text around.
static bool allowed(uint32_t c)
{
    if (c < 0x20 || (c >= 0x7F && c < 0xA0) || (c < 0x80 && strchr("\"*/:<>?\\|", (int)c)))
        return false;
    return !(c == 0x200E || c == 0x200F || (c >= 0x2028 && c <= 0x202E) ||
             (c >= 0x2066 && c <= 0x2069) || c == 0xFEFF || c == 0xFFFE || c == 0xFFFF);
}

static char *put(char *out, uint32_t c)
{
    if (c < 0x80) {
        *out++ = (char)c;
    } else if (c < 0x800) {
        *out++ = (char)(0xC0 | c >> 6);
        *out++ = (char)(0x80 | (c & 0x3F));
    } else if (c < 0x10000) {
        *out++ = (char)(0xE0 | c >> 12);
        *out++ = (char)(0x80 | (c >> 6 & 0x3F));
        *out++ = (char)(0x80 | (c & 0x3F));
    } else {
        *out++ = (char)(0xF0 | c >> 18);
        *out++ = (char)(0x80 | (c >> 12 & 0x3F));
        *out++ = (char)(0x80 | (c >> 6 & 0x3F));
        *out++ = (char)(0x80 | (c & 0x3F));
    }
    return out;
}

bool sl_name_from_utf16(const uint16_t *units, unsigned count, char out[SL_VOLUME_NAME_SIZE])
{
    if (count == 0 || count > 255)
        return false;
    for (unsigned i = 0; i < count;) {
        const uint32_t c = code_point(units, count, &i);
        if (!allowed(c))
            return false;
        out = put(out, c);
    }
    *out = '\0';
    return true;
}

bool sl_name_is_directory(const char *name)
{
    return strcasecmp(name, "SIGHTLINE") == 0;
}

// Some systems leave a companion '._NAME' beside each file.
bool sl_name_is_wanted(const char *name)
{
    const size_t length = strlen(name);
    if (length < 5 || name[0] == '.')
        return false;
    return strcasecmp(name + length - 4, ".slb") == 0 || strcasecmp(name + length - 4, ".slc") == 0;
}

int sl_volume_add(struct sl_volume *volume, const struct sl_volume_entry *entry,
                  struct sl_volume_error *error)
{
    if (volume->count == SL_VOLUME_ENTRIES)
        return sl_volume_refuse(error, -EBADMSG, entry->at,
                                "/SIGHTLINE: expected at most %u update files, found more",
                                SL_VOLUME_ENTRIES);
    volume->entries[volume->count++] = *entry;
    return 0;
}
