// Walks a directory's 32-byte entries, over clusters that may be met only once.
#include "ota/usb/volume_impl.h"

#include <errno.h>
#include <string.h>

static int enter(struct sl_volume *volume, struct sl_dir *dir, uint32_t cluster,
                 struct sl_volume_error *error)
{
    for (uint32_t i = 0; i < volume->seen_count; i++)
        if (volume->seen[i] == cluster)
            return sl_volume_refuse(error, -EBADMSG, sl_cluster_at(volume, cluster),
                                    "directory: cluster %u belongs to it twice, or to two "
                                    "directories",
                                    cluster);
    if (volume->seen_count == SL_VOLUME_DIR_CLUSTERS)
        return sl_volume_refuse(error, -EBADMSG, sl_cluster_at(volume, cluster),
                                "directory: more than %u clusters", SL_VOLUME_DIR_CLUSTERS);
    volume->seen[volume->seen_count++] = cluster;
    dir->cluster = cluster;
    dir->at = sl_cluster_at(volume, cluster);
    dir->in_cluster = volume->cluster_bytes;
    return 0;
}

int sl_dir_start(struct sl_volume *volume, struct sl_dir *dir, uint32_t cluster, uint64_t bytes,
                 bool contiguous, struct sl_volume_error *error)
{
    *dir = (struct sl_dir){.contiguous = contiguous, .bounded = bytes > 0};
    dir->left = bytes > 0 ? bytes : SL_VOLUME_DIR_BYTES;
    if (cluster == 0) { // cluster_bytes of the fixed root: all of it
        dir->at = volume->root_at;
        dir->in_cluster = (uint32_t)volume->root_bytes;
        dir->bounded = true;
        dir->left = volume->root_bytes;
        return 0;
    }
    return enter(volume, dir, cluster, error);
}

// 1: in the next cluster, 0: the chain ended.
static int advance(struct sl_volume *volume, struct sl_dir *dir, struct sl_volume_error *error)
{
    uint32_t next = dir->cluster + 1;
    if (!dir->contiguous) {
        const int status = sl_cluster_next(volume, dir->cluster, &next, error);
        if (status != 0)
            return status;
        if (next == 0 && !dir->bounded)
            return 0;
    }
    if (!sl_cluster_valid(volume, next))
        return sl_volume_refuse(error, -EBADMSG, dir->at,
                                "directory: %llu bytes are missing after cluster %u",
                                (unsigned long long)dir->left, dir->cluster);
    const int status = enter(volume, dir, next, error);
    return status != 0 ? status : 1;
}

static int load(struct sl_volume *volume, struct sl_dir *dir, struct sl_volume_error *error)
{
    dir->block_at = dir->at;
    dir->block_bytes = dir->in_cluster < SL_VOLUME_WINDOW ? dir->in_cluster : SL_VOLUME_WINDOW;
    return sl_volume_fetch(&volume->source, dir->at, dir->block, dir->block_bytes, "directory",
                           error);
}

int sl_dir_next(struct sl_volume *volume, struct sl_dir *dir, uint8_t entry[32], uint64_t *at,
                struct sl_volume_error *error)
{
    if (dir->left < 32) {
        if (dir->bounded)
            return 0;
        return sl_volume_refuse(error, -EBADMSG, dir->at, "directory: longer than %u bytes",
                                SL_VOLUME_DIR_BYTES);
    }
    if (dir->in_cluster == 0) {
        const int status = advance(volume, dir, error);
        if (status <= 0)
            return status;
    }
    if (dir->block_bytes == 0 || dir->at < dir->block_at ||
        dir->at - dir->block_at >= dir->block_bytes) {
        const int status = load(volume, dir, error);
        if (status != 0)
            return status;
    }
    memcpy(entry, dir->block + (dir->at - dir->block_at), 32);
    *at = dir->at;
    dir->at += 32;
    dir->in_cluster -= 32;
    dir->left -= 32;
    return 1;
}
