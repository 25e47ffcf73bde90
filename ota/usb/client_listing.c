// Checks what a reader says a stick holds.
#include "ota/usb/client_listing.h"

#include "ota/usb/protocol.h"
#include "ota/usb/volume_impl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int nonsense(struct sl_volume_error *error, const char *what, uint64_t found)
{
    if (error)
        snprintf(error->text, sizeof(error->text), "stick reader: listing: unexpected %s %llu",
                 what, (unsigned long long)found);
    return -EPROTO;
}

// One file from `bytes`; advances `*at`.
static int parse_file(const uint8_t *bytes, size_t length, size_t *at, struct sl_stick_file *out,
                      struct sl_volume_error *error)
{
    if (length - *at < 10)
        return nonsense(error, "end at byte", length);
    const uint8_t *p = bytes + *at;
    const size_t name = sl_le16(p + 8);
    if (name == 0 || name >= SL_VOLUME_NAME_SIZE || name > length - *at - 10)
        return nonsense(error, "length of a name", name);
    out->length = sl_le64(p);
    memcpy(out->name, p + 10, name);
    out->name[name] = '\0';
    if (!sl_name_is_sound(out->name, name) || !sl_name_is_wanted(out->name))
        return nonsense(error, "name at byte", *at);
    *at += 10 + name;
    return 0;
}

static int parse_files(const uint8_t *bytes, size_t length, struct sl_stick_listing *out,
                       struct sl_volume_error *error)
{
    size_t at = SL_STICK_LIST_HEAD;
    for (uint32_t i = 0; i < out->count; i++) {
        const int status = parse_file(bytes, length, &at, &out->files[i], error);
        if (status != 0)
            return status;
    }
    return at == length ? 0 : nonsense(error, "bytes after its end:", length - at);
}

int sl_stick_parse_listing(const uint8_t *bytes, size_t length, struct sl_stick_listing **out,
                           struct sl_volume_error *error)
{
    if (length < SL_STICK_LIST_HEAD)
        return nonsense(error, "length", length);
    const uint32_t kind = sl_le32(bytes), dirty = sl_le32(bytes + 8), count = sl_le32(bytes + 12);
    if (kind < SL_VOLUME_FAT16 || kind > SL_VOLUME_EXFAT)
        return nonsense(error, "kind of file system", kind);
    if (dirty > 1)
        return nonsense(error, "mark", dirty);
    if (count > SL_VOLUME_ENTRIES)
        return nonsense(error, "number of files", count);
    struct sl_stick_listing *listing =
        calloc(1, sizeof(*listing) + count * sizeof(struct sl_stick_file));
    if (!listing)
        return -ENOMEM;
    listing->kind = (enum sl_volume_kind)kind;
    listing->partition = sl_le32(bytes + 4);
    listing->dirty = dirty != 0;
    listing->device_length = sl_le64(bytes + 16);
    listing->count = count;
    const int status = parse_files(bytes, length, listing, error);
    if (status == 0)
        *out = listing;
    else
        free(listing);
    return status;
}
