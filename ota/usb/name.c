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

// One code point of UTF-8 at `text`, and how many bytes it has; 0 bytes: not UTF-8.
static unsigned utf8(const uint8_t *text, size_t left, uint32_t *out)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned lead = text[0];
    const unsigned length = lead < 0x80                   ? 1
                            : lead >= 0xC0 && lead < 0xE0 ? 2
                            : lead >= 0xE0 && lead < 0xF0 ? 3
                            : lead >= 0xF0 && lead < 0xF8 ? 4
                                                          : 0;
    if (length == 0 || length > left)
        return 0;
    uint32_t c = length == 1 ? lead : lead & (0x7Fu >> length);
    for (unsigned i = 1; i < length; i++) {
        if ((text[i] & 0xC0) != 0x80)
            return 0;
        c = c << 6 | (text[i] & 0x3F);
    }
    *out = c;
    return c >= least[length] && c <= 0x10FFFF && (c < 0xD800 || c > 0xDFFF) ? length : 0;
}

bool sl_name_is_sound(const char *name, size_t length)
{
    for (size_t at = 0; at < length;) {
        uint32_t c;
        const unsigned bytes = utf8((const uint8_t *)name + at, length - at, &c);
        if (bytes == 0 || !allowed(c))
            return false;
        at += bytes;
    }
    return length > 0;
}

void sl_name_clean(char *text, size_t length)
{
    for (size_t at = 0; at < length;) {
        uint32_t c;
        unsigned bytes = utf8((const uint8_t *)text + at, length - at, &c);
        const bool kept = bytes > 0 && (allowed(c) || (c < 0x80 && c >= 0x20 && c != 0x7F));
        for (bytes = bytes > 0 ? bytes : 1; bytes > 0; bytes--, at++)
            if (!kept)
                text[at] = '?';
    }
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
