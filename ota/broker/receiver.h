// A camera's side of a model update through the broker: what to subscribe to, what to take, when to
// ask. It knows no network and no disk, allocates nothing and belongs to one thread.
//
// A head comes in parts and is given to the owner, who verifies it and says whether its bundle is
// wanted. Then the owner starts the fetch. While most of the chunks are missing, the receiver hears
// all of them; when few are, it hears only those that it lacks, so that what is sent again for
// another camera does not come here. After silence, or when the seeder says that it has sent all,
// it waits for a random time and asks with one bitmap.
//
// Broker and seeder may do what they like: what is not expected is counted and dropped; a chunk is
// written only if its owner found the right hash; after some that were wrong it stops listening for
// a while. So they can delay, and nothing else.
#ifndef SL_OTA_BROKER_RECEIVER_H
#define SL_OTA_BROKER_RECEIVER_H

#include "ota/broker/packet.h"

enum { SL_RECEIVER_FILTERS = 256, SL_RECEIVER_JUDGED = 16, SL_RECEIVER_DOCUMENTS = 256 };

struct sl_receiver_ports {
    void *ctx;
    void (*subscribe)(void *ctx, const char *filter, bool on);
    void (*publish)(void *ctx, const char *topic, const uint8_t *octets, size_t size);
    // A whole head, valid during the call. The owner verifies it, and may start the fetch from
    // here.
    void (*offer)(void *ctx, const uint8_t *head, uint32_t size);
    // A chunk that is missing, of the right size: 0, -EBADMSG if its hash is wrong, or the errno of
    // the storage.
    int (*chunk)(void *ctx, uint32_t index, const uint8_t *octets, size_t size);
    uint32_t (*random)(void *ctx);
    // A catalog or an order, perhaps; or NULL.
    void (*document)(void *ctx, const uint8_t *octets, size_t size);
};

struct sl_receiver_counts {
    uint64_t messages, octets; // all that were delivered
    uint64_t chunks;           // taken
    uint64_t foreign;          // not one of ours, or of another bundle, or nothing that was wanted
    uint64_t repeated;         // a chunk that was there already
    uint64_t lies;             // a chunk with the wrong hash
    uint64_t busy; // part of a head while another one was put together; documents in a flood
    uint64_t asks, pauses;
};

struct sl_receiver {
    struct sl_receiver_ports ports;
    const char *root, *camera;
    struct sl_receiver_counts counts;
    bool up;
    // a head that is put together
    uint8_t head_id[SL_HASH], head[SL_HEAD_MAX];
    uint32_t head_size, head_parts; // parts as bits; size 0: none
    uint64_t head_ms, listen_ms, documents_ms;
    bool missed_head;
    unsigned n_documents, n_repeated; // new and known ones since documents were asked for
    unsigned n_passed_on;
    uint8_t passed_on[SL_RECEIVER_DOCUMENTS][SL_HASH]; // SHA-256 of documents, the newest
    struct {
        uint8_t id[SL_HASH];
        uint64_t until_ms;
    } judged[SL_RECEIVER_JUDGED];
    unsigned n_judged;
    // the fetch
    bool fetching, hears_all, paused;
    uint8_t id[SL_HASH];
    uint64_t payload;
    uint32_t n_chunks, n_have, seen, last_index, n_filters, wrong_in_a_row;
    uint8_t have[SL_CHUNKS_MAX / 8],
        heard[SL_CHUNKS_MAX / 8];                       // heard: subscribed by its own filter
    uint64_t ask_ms, progress_ms, resume_ms, report_ms; // UINT64_MAX: not planned
    uint32_t silence_ms, pause_ms;
};

// `root` and `camera` must pass sl_packet_root_ok and sl_packet_name_ok, and live as long. Large:
// make the struct static.
void sl_receiver_init(struct sl_receiver *r, const struct sl_receiver_ports *ports,
                      const char *root, const char *camera);

// The connection came (subscribes anew) or went.
void sl_receiver_up(struct sl_receiver *r, uint64_t now_ms);
void sl_receiver_down(struct sl_receiver *r);

// Any message that the broker delivered.
void sl_receiver_message(struct sl_receiver *r, const char *topic, const uint8_t *octets,
                         size_t size, uint64_t now_ms);

// Asks for the chunks of a bundle whose head was verified; `have` as sl_slot_has says, or NULL.
void sl_receiver_fetch(struct sl_receiver *r, const uint8_t id[SL_HASH], uint64_t payload,
                       bool (*have)(void *ctx, uint32_t index), uint64_t now_ms);
void sl_receiver_stop(struct sl_receiver *r);

// Retained heads are asked for again, and those that were judged are offered again.
void sl_receiver_again(struct sl_receiver *r, uint64_t now_ms);

bool sl_receiver_is_whole(const struct sl_receiver *r);
// Since the last chunk was taken, or the fetch began.
uint64_t sl_receiver_idle_ms(const struct sl_receiver *r, uint64_t now_ms);

// Does what is due; returns in how many ms it wants to be called again.
uint32_t sl_receiver_tick(struct sl_receiver *r, uint64_t now_ms);

#endif
