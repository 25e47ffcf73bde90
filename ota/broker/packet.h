// Messages of a model update through the broker. Numbers are little-endian.
//
//     0   "SLUP"  u8 version = 1  u8 kind  u16 zero
//     8   bundle id
//     40  u32 a   u32 b
//     48  data
//
//     kind      topic below the root     a               b                   data
//     head      ID/head/PART (retained)  part            octets of the head  SL_PACKET_PART of it
//     chunk     ID/chunk/INDEX           index           sequence            the chunk
//     beat      ID/beat                  1: all is sent  last sequence       none
//     document  ID/document (retained)   0               0                   the document
//     ask       ID/ask/CAMERA            last sequence   chunks that it has  none, or a bitmap
//                                        that was seen                       of those that it lacks
//
// ID is the first 8 octets of the bundle id in hexadecimal digits, of a document the SHA-256; PART
// and INDEX are decimal. The head is all of a bundle before its payload. A sequence number counts
// the chunks that a seeder has sent since it started. A bitmap has one bit for each chunk, lowest
// bit first, the rest zero.
//
// Nothing here is trusted: a head is what its signatures say, a chunk is what its hash says.
#ifndef SL_OTA_BROKER_PACKET_H
#define SL_OTA_BROKER_PACKET_H

#include "ota/bundle/format.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SL_PACKET_HEADER = 48,
    SL_PACKET_PART = 32 << 10,
    SL_PACKET_PARTS_MAX = (SL_HEAD_MAX + SL_PACKET_PART - 1) / SL_PACKET_PART,
    SL_PACKET_MAX = SL_PACKET_HEADER + SL_CHUNK,
    SL_PACKET_BITMAP_MAX = SL_CHUNKS_MAX / 8,
    SL_PACKET_TOPIC_MAX = 192, // with NUL
    SL_PACKET_ROOT_MAX = 96,
    SL_PACKET_CAMERA_MAX = 64,
    SL_PACKET_ID_DIGITS = 16,
};

#define SL_PACKET_ROOT "sightline-update"

enum sl_packet_kind {
    SL_PACKET_HEAD = 1,
    SL_PACKET_CHUNK,
    SL_PACKET_BEAT,
    SL_PACKET_ASK,
    SL_PACKET_DOCUMENT
};

struct sl_packet {
    enum sl_packet_kind kind;
    const uint8_t *id; // into the octets that were read
    uint32_t a, b;
    const uint8_t *data;
    size_t size;                           // of data
    char camera[SL_PACKET_CAMERA_MAX + 1]; // of an ask
};

// Topic and octets must be one of the above and agree with each other; lengths that depend on the
// bundle are the caller's to check. False: it is not one of ours.
bool sl_packet_read(const char *root, const char *topic, const uint8_t *octets, size_t size,
                    struct sl_packet *out);

// Writes the header; `id` is SL_HASH octets.
void sl_packet_write(uint8_t header[SL_PACKET_HEADER], enum sl_packet_kind kind, const uint8_t *id,
                     uint32_t a, uint32_t b);

// Topics and filters. `id` NULL: of every bundle; index UINT32_MAX: of every part or chunk;
// camera NULL: of every camera.
void sl_packet_topic(char out[SL_PACKET_TOPIC_MAX], const char *root, enum sl_packet_kind kind,
                     const uint8_t *id, uint32_t index, const char *camera);

// One level of a topic that a camera or a root may have: a-z, 0-9, '-', '_', '.'; and for a root
// '/' between levels.
bool sl_packet_name_ok(const char *name);
bool sl_packet_root_ok(const char *root);

static inline bool sl_bit(const uint8_t *bits, uint32_t i)
{
    return bits[i / 8] >> i % 8 & 1;
}

static inline void sl_bit_set(uint8_t *bits, uint32_t i, bool on)
{
    const uint8_t mask = (uint8_t)(1u << i % 8);
    bits[i / 8] = (uint8_t)(on ? bits[i / 8] | mask : bits[i / 8] & ~mask);
}

#endif
