// Writes a bundle into a slot so that its superblock, the first 4 KiB, is there only when all the
// rest is: superblock zeroed and flushed; sections and chunks; flushed; all of it read back; the
// superblock, flushed and read back.
//
// A bundle's bytes are the slot's bytes. Everything before the payload (the head) was verified by
// the caller and stays in the caller's memory; of the payload, each chunk's hash is in the head.
#ifndef SL_OTA_SLOT_H
#define SL_OTA_SLOT_H

#include "ota/device.h"

#define SL_SLOT_SUPERBLOCK 4096u
#define SL_SLOT_CHUNKS     8192u
#define SL_SLOT_HASH       32u

struct sl_slot_image {
    const uint8_t *head;   // superblock, key chain, manifest, signatures, chunk list
    uint32_t head_size;    // the payload starts here
    uint32_t chunk_size;   // of the payload, but for the last chunk
    uint64_t payload;      // bytes, not zero
    const uint8_t *hashes; // SHA-256 of each chunk
};

struct sl_slot_writer {
    struct sl_ota_device *device;
    struct sl_slot_image image;
    uint8_t *room; // of the caller, for one chunk
    size_t room_size;
    uint32_t n_chunks, n_have;
    uint8_t have[SL_SLOT_CHUNKS / 8]; // bit i: chunk i is in the slot with the right hash
};

// Takes the superblock away, writes the sections and finds out which chunks of this image are there
// already, so that a fetch goes on where it was. 0; -EINVAL: an image that cannot be; -ENOSPC: the
// slot or the room is too small; or the device's errno.
int sl_slot_begin(struct sl_slot_writer *writer, struct sl_ota_device *device,
                  const struct sl_slot_image *image, uint8_t *room, size_t room_size);

uint32_t sl_slot_chunk_size(const struct sl_slot_writer *writer, uint32_t index);
bool sl_slot_has(const struct sl_slot_writer *writer, uint32_t index);

// One chunk, in any order. -EBADMSG: not what the chunk list says, nothing was written.
int sl_slot_put(struct sl_slot_writer *writer, uint32_t index, const uint8_t *bytes, size_t size);

// Reads everything back and puts the superblock on. -EAGAIN: chunks are missing, perhaps because
// what came back was not what was written; fetch those that sl_slot_has denies. -EBADMSG: the
// sections or the superblock did not come back. A slot that failed has no superblock, as far as
// the device could be written at all.
int sl_slot_finish(struct sl_slot_writer *writer);

#endif
