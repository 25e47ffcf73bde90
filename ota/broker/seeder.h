// The seeder's side of a model update through the broker: announces a bundle's head, waits for what
// cameras ask for, and sends the union of it once for all. It knows no network and no file.
//
// Three things bound what is on its way: how many chunks the broker has not acknowledged (the
// owner's `chunk` says -EAGAIN), how far the cameras are behind by their reports (a window), and a
// rate. A camera that reports no progress is soon not waited for. Cameras may only ask, and each
// only for so much.
#ifndef SL_OTA_BROKER_SEEDER_H
#define SL_OTA_BROKER_SEEDER_H

#include "ota/broker/packet.h"

enum { SL_SEEDER_CAMERAS = 256 };

struct sl_seeder_ports {
    void *ctx;
    // Sends a chunk with this header in front. 0, -EAGAIN: later; another errno: it cannot be read.
    int (*chunk)(void *ctx, uint32_t index, const char *topic,
                 const uint8_t header[SL_PACKET_HEADER]);
    void (*beat)(void *ctx, const char *topic, const uint8_t octets[SL_PACKET_HEADER]);
};

struct sl_seeder_camera {
    char name[SL_PACKET_CAMERA_MAX + 1];
    uint32_t seen, have;
    uint64_t heard_ms, moved_ms; // last report; last that said more than the one before
    uint64_t asked_ms;
    uint64_t budget; // chunks that it may still ask for
};

struct sl_seeder_counts {
    uint64_t chunks, octets; // sent
    uint64_t asks, ignored;  // with a bitmap; of those ignored, or not understood
};

struct sl_seeder {
    struct sl_seeder_ports ports;
    struct sl_seeder_counts counts;
    const char *root;
    uint8_t id[SL_HASH];
    uint64_t payload, rate; // octets per second; 0: as fast as it goes
    uint32_t n_chunks, n_wanted, cursor, sequence, n_cameras;
    uint8_t wanted[SL_CHUNKS_MAX / 8];
    uint32_t sent[SL_CHUNKS_MAX]; // sequence of the last time; 0: never
    uint64_t sent_ms[SL_CHUNKS_MAX];
    struct sl_seeder_camera cameras[SL_SEEDER_CAMERAS];
    uint64_t start_ms, beat_ms, allowed, allowed_ms;
    uint32_t since_beat;
    bool told_idle;
};

// Large: make the struct static.
void sl_seeder_init(struct sl_seeder *s, const struct sl_seeder_ports *ports, const char *root,
                    const uint8_t id[SL_HASH], uint64_t payload, uint64_t rate, uint64_t now_ms);

// Any message that the broker delivered.
void sl_seeder_message(struct sl_seeder *s, const char *topic, const uint8_t *octets, size_t size,
                       uint64_t now_ms);

// Sends what may be sent now; returns in how many ms it wants to be called again. -errno: a chunk
// cannot be read.
int sl_seeder_tick(struct sl_seeder *s, uint64_t now_ms);

// Cameras that have all of it.
uint32_t sl_seeder_n_done(const struct sl_seeder *s);

#endif
