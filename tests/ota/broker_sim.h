// A broker, a seeder and cameras in one thread and with a clock of their own: deliveries are late,
// lost or changed as a test wants.
#ifndef SL_TESTS_BROKER_SIM_H
#define SL_TESTS_BROKER_SIM_H

#include "ota/broker/receiver.h"
#include "ota/broker/seeder.h"

enum { SIM_CAMERAS = 16, SIM_FILTERS = 300, SIM_QUEUE = 65536, SIM_DELAY_MS = 3 };

struct sim_camera {
    struct sl_receiver receiver;
    char name[16];
    char filters[SIM_FILTERS][SL_PACKET_TOPIC_MAX];
    unsigned n_filters;
    bool connected, wants;
    unsigned offers, documents;
    uint8_t *slot;         // the payload as it was written
    uint64_t chunk_octets; // delivered to it
};

struct sim_broker {
    struct sim_camera cameras[SIM_CAMERAS];
    unsigned n_cameras;
    struct sl_seeder seeder;
    bool seeds;
    uint64_t now_ms, random;
    unsigned loss_percent; // of deliveries in both directions, but for retained heads (QoS 1)
    uint32_t lie_about;    // chunk that the broker changes; UINT32_MAX: none
    uint8_t id[SL_HASH], *payload, *head;
    uint32_t head_size, n_chunks;
    uint64_t size;
};

void sim_begin(struct sim_broker *sim, unsigned cameras, uint32_t chunks, unsigned loss_percent);
void sim_end(struct sim_broker *sim);
void sim_connect(struct sim_broker *sim, unsigned camera);
void sim_disconnect(struct sim_broker *sim, unsigned camera);
void sim_run(struct sim_broker *sim, uint64_t ms);
bool sim_all_whole(const struct sim_broker *sim); // and right
// Runs until all are; false: not within `most_ms`.
bool sim_run_until_whole(struct sim_broker *sim, uint64_t most_ms);
uint64_t sim_delivered(const struct sim_broker *sim);

#endif
