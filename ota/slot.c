// Writes a bundle into a slot; the superblock last, and only over what was read back.
#include "ota/slot.h"

#include "ota/sha256.h"

#include <errno.h>
#include <string.h>

static const uint8_t zeros[SL_SLOT_SUPERBLOCK];

static int write_superblock(struct sl_ota_device *device, const uint8_t *bytes)
{
    int status = sl_device_write(device, 0, bytes, SL_SLOT_SUPERBLOCK);
    return status < 0 ? status : sl_device_flush(device);
}

// Whether the slot's bytes at `at` are `bytes`: 0, -EBADMSG or the device's errno.
static int compare(struct sl_slot_writer *w, uint64_t at, const uint8_t *bytes, size_t size)
{
    while (size > 0) {
        size_t n = size < w->room_size ? size : w->room_size;
        int status = sl_device_read(w->device, at, w->room, n);
        if (status < 0)
            return status;
        if (memcmp(w->room, bytes, n) != 0)
            return -EBADMSG;
        at += n;
        bytes += n;
        size -= n;
    }
    return 0;
}

static uint64_t chunk_at(const struct sl_slot_writer *w, uint32_t index)
{
    return w->image.head_size + (uint64_t)index * w->image.chunk_size;
}

static bool is_right(const struct sl_slot_writer *w, uint32_t index, const uint8_t *bytes)
{
    uint8_t hash[SL_SLOT_HASH];
    sl_sha256(hash, bytes, sl_slot_chunk_size(w, index));
    return memcmp(hash, w->image.hashes + (size_t)index * SL_SLOT_HASH, sizeof hash) == 0;
}

// Reads every chunk that is or may be there and keeps the bits of those that are right.
static int look_at_chunks(struct sl_slot_writer *w)
{
    w->n_have = 0;
    for (uint32_t i = 0; i < w->n_chunks; i++) {
        int status = sl_device_read(w->device, chunk_at(w, i), w->room, sl_slot_chunk_size(w, i));
        if (status < 0)
            return status;
        uint8_t bit = (uint8_t)(1u << i % 8);
        if (is_right(w, i, w->room)) {
            w->have[i / 8] |= bit;
            w->n_have++;
        } else {
            w->have[i / 8] &= (uint8_t)~bit;
        }
    }
    return 0;
}

uint32_t sl_slot_chunk_size(const struct sl_slot_writer *w, uint32_t index)
{
    uint64_t left = w->image.payload - (uint64_t)index * w->image.chunk_size;
    return left < w->image.chunk_size ? (uint32_t)left : w->image.chunk_size;
}

bool sl_slot_has(const struct sl_slot_writer *w, uint32_t index)
{
    return index < w->n_chunks && w->have[index / 8] >> index % 8 & 1;
}

static int check_image(const struct sl_slot_image *image, uint64_t slot_size, size_t room_size)
{
    if (image->head_size < SL_SLOT_SUPERBLOCK || image->chunk_size == 0 || image->payload == 0 ||
        (image->payload - 1) / image->chunk_size >= SL_SLOT_CHUNKS)
        return -EINVAL;
    if (slot_size < image->head_size || slot_size - image->head_size < image->payload ||
        room_size < image->chunk_size || room_size < SL_SLOT_SUPERBLOCK)
        return -ENOSPC;
    return 0;
}

int sl_slot_begin(struct sl_slot_writer *w, struct sl_ota_device *device,
                  const struct sl_slot_image *image, uint8_t *room, size_t room_size)
{
    int status = check_image(image, device->size, room_size);
    if (status < 0)
        return status;
    *w = (struct sl_slot_writer){
        .device = device, .image = *image, .room = room, .room_size = room_size};
    w->n_chunks = (uint32_t)((image->payload - 1) / image->chunk_size + 1);
    status = write_superblock(device, zeros);
    if (status == 0)
        status = compare(w, 0, zeros, SL_SLOT_SUPERBLOCK);
    if (status == 0)
        status = sl_device_write(device, SL_SLOT_SUPERBLOCK, image->head + SL_SLOT_SUPERBLOCK,
                                 image->head_size - SL_SLOT_SUPERBLOCK);
    return status < 0 ? status : look_at_chunks(w);
}

int sl_slot_put(struct sl_slot_writer *w, uint32_t index, const uint8_t *bytes, size_t size)
{
    if (index >= w->n_chunks || size != sl_slot_chunk_size(w, index))
        return -EINVAL;
    if (!is_right(w, index, bytes))
        return -EBADMSG;
    if (sl_slot_has(w, index))
        return 0;
    int status = sl_device_write(w->device, chunk_at(w, index), bytes, size);
    if (status < 0)
        return status;
    w->have[index / 8] |= (uint8_t)(1u << index % 8);
    w->n_have++;
    return 0;
}

static int read_back(struct sl_slot_writer *w)
{
    int status = compare(w, SL_SLOT_SUPERBLOCK, w->image.head + SL_SLOT_SUPERBLOCK,
                         w->image.head_size - SL_SLOT_SUPERBLOCK);
    if (status == 0)
        status = look_at_chunks(w);
    if (status < 0)
        return status;
    return w->n_have == w->n_chunks ? 0 : -EAGAIN;
}

int sl_slot_finish(struct sl_slot_writer *w)
{
    if (w->n_have != w->n_chunks)
        return -EAGAIN;
    int status = sl_device_flush(w->device);
    if (status == 0)
        status = read_back(w);
    if (status < 0)
        return status;
    status = write_superblock(w->device, w->image.head);
    if (status == 0)
        status = compare(w, 0, w->image.head, SL_SLOT_SUPERBLOCK);
    if (status < 0)
        write_superblock(w->device, zeros);
    return status;
}
