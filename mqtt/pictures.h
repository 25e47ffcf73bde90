// Inside of mqtt/: pictures that wait for the broker.
//
// In memory only, for they are in the ledger's folder as well: at most PICTURES_WAITING of parts
// (the oldest goes first, counted), and per camera the newest for crop/last and the newest preview.
// They are sent when nothing more important waits, and not at all once they are too old.
#ifndef SL_MQTT_PICTURES_H
#define SL_MQTT_PICTURES_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define PICTURES_WAITING 16u

struct sl_publisher;

struct picture {
    size_t camera;
    char part_id[64], crop[24];
    GBytes *jpeg; // NULL: there is none
    int64_t made_ns;
};

struct pictures_camera {
    char *crop, *last, *frame; // topics; `crop` ends with a slash
    struct picture newest, preview;
    bool newest_due;
};

// Under the publisher's lock but for the topics.
struct pictures {
    struct picture waiting[PICTURES_WAITING]; // a ring
    unsigned first, n;
    uint64_t sent, dropped;
    struct pictures_camera *cameras;
};

void pictures_init(struct sl_publisher *publisher);
void pictures_clear(struct sl_publisher *publisher);

void pictures_connected(struct sl_publisher *publisher); // with the lock held
void pictures_send(struct sl_publisher *publisher);      // network thread: what there is room for

#endif
