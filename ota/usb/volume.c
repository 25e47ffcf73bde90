// The volume of a stick: the first that holds /SIGHTLINE, and reading its files.
#include "ota/usb/volume_impl.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int sl_volume_refuse(struct sl_volume_error *error, int status, uint64_t at, const char *format,
                     ...)
{
    if (!error)
        return status;
    const int used =
        snprintf(error->text, sizeof(error->text), "byte %llu: ", (unsigned long long)at);
    va_list args;
    va_start(args, format);
    vsnprintf(error->text + used, sizeof(error->text) - (size_t)used, format, args);
    va_end(args);
    return status;
}

int sl_volume_fetch(const struct sl_volume_source *source, uint64_t at, void *bytes, size_t length,
                    const char *what, struct sl_volume_error *error)
{
    if (at > source->length || length > source->length - at)
        return sl_volume_refuse(error, -EBADMSG, at,
                                "%s: expected %zu bytes, the device ends at byte %llu", what,
                                length, (unsigned long long)source->length);
    const int status = source->read_at(source->context, at, bytes, length);
    if (status != 0)
        return sl_volume_refuse(error, -EIO, at, "%s: the device did not give %zu bytes (%s)", what,
                                length, strerrorname_np(-status));
    return 0;
}

static int mount(struct sl_volume *volume, struct sl_volume_error *error)
{
    uint8_t boot[512];
    const int status =
        sl_volume_fetch(&volume->source, volume->start, boot, sizeof(boot), "boot sector", error);
    if (status != 0)
        return status;
    if (sl_exfat_is_boot(boot))
        return sl_exfat_mount(volume, boot, error);
    if (sl_fat_is_boot(boot))
        return sl_fat_mount(volume, boot, error);
    if (memcmp(boot + 3, "NTFS    ", 8) == 0)
        return sl_volume_refuse(error, -ENOTSUP, volume->start + 3, "NTFS is not read");
    return sl_volume_refuse(error, -ENOTSUP, volume->start,
                            "boot sector: expected FAT16, FAT32 or exFAT");
}

static void begin(struct sl_volume *volume, const struct sl_volume_source *source,
                  const struct sl_partition *part)
{
    const struct sl_volume_source copy = *source;
    memset(volume, 0, sizeof(*volume));
    volume->source = copy;
    volume->partition = part->number;
    volume->start = part->start;
    volume->length = part->length;
}

static int try_partition(struct sl_volume *volume, struct sl_volume_error *error)
{
    const int status = mount(volume, error);
    if (status != 0)
        return status;
    return volume->kind == SL_VOLUME_EXFAT ? sl_exfat_list(volume, error)
                                           : sl_fat_list(volume, error);
}

static void note(struct sl_volume_error *all, unsigned number, const char *text)
{
    const size_t used = strlen(all->text);
    snprintf(all->text + used, sizeof(all->text) - used, "%spartition %u: %.200s", used ? "; " : "",
             number, text);
}

// The reason that counts is the gravest: a device that fails, then damage, then what is not read.
static int graver(int a, int b)
{
    static const int order[] = {-EIO, -EBADMSG, -ENOTSUP, -ENOENT};
    for (unsigned i = 0; i < 4; i++)
        if (a == order[i] || b == order[i])
            return order[i];
    return a;
}

int sl_volume_open(struct sl_volume *volume, const struct sl_volume_source *source,
                   struct sl_volume_error *error)
{
    struct sl_partitions parts;
    struct sl_volume_error all = {""}, one;
    const struct sl_volume_source from = *source;
    int result = sl_partitions_read(&from, &parts, error);
    if (result != 0)
        return result;
    for (unsigned i = 0; i < parts.count; i++) {
        begin(volume, &from, &parts.part[i]);
        const int status = try_partition(volume, &one);
        if (status == 0)
            return 0;
        result = graver(status, result);
        note(&all, parts.part[i].number, one.text);
    }
    if (error)
        *error = parts.count == 1 && parts.part[0].number == 0 ? one : all;
    return result;
}

// What stands behind the written bytes of an exFAT file was never written, and reads as zero.
int sl_volume_read(struct sl_volume *volume, uint32_t index, uint64_t offset, void *bytes,
                   size_t length, struct sl_volume_error *error)
{
    if (index >= volume->count)
        return sl_volume_refuse(error, -EINVAL, 0, "expected a file below %u, asked for %u",
                                volume->count, index);
    const struct sl_volume_entry *entry = &volume->entries[index];
    if (offset > entry->length || length > entry->length - offset)
        return sl_volume_refuse(
            error, -EINVAL, entry->at, "'%s': asked for %zu bytes at %llu, it has %llu",
            entry->name, length, (unsigned long long)offset, (unsigned long long)entry->length);
    if (volume->checked != index + 1) {
        volume->checked = 0;
        volume->cursor = (struct sl_cursor){0};
        const int status = sl_chain_check(volume, entry, error);
        if (status != 0)
            return status;
        volume->checked = index + 1;
    }
    const uint64_t valid = offset < entry->valid ? entry->valid - offset : 0;
    const size_t stored = length < valid ? length : (size_t)valid;
    memset((uint8_t *)bytes + stored, 0, length - stored);
    return sl_chain_read(volume, entry, &volume->cursor, offset, bytes, stored, error);
}

const char *sl_volume_kind_name(enum sl_volume_kind kind)
{
    static const char *const names[] = {"none", "FAT16", "FAT32", "exFAT"};
    return names[kind];
}
