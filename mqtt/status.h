// Inside of mqtt/: the topic `status` of every camera, which says online or offline.
//
// A connection has one will. So the publisher's connection has that of the first camera, and each
// further camera has a connection for nothing else. Those are there only while the publisher's is:
// if the broker loses that one, or the process dies, it says offline for every camera.
//
// All for the network thread, but status_make and status_clear.
#ifndef SL_MQTT_STATUS_H
#define SL_MQTT_STATUS_H

#include "mqtt/connection.h"

#include <stdint.h>

struct sl_publisher;

struct status {
    char *topic, *client_id; // of its own connection
    struct connection own;
    struct connection *via; // the publisher's or its own
    struct sl_publisher *publisher;
    bool due;
};

// One for each camera, from the publisher's connection, which must be ready but for its will.
void status_make(struct sl_publisher *publisher);
void status_clear(struct sl_publisher *publisher);

void status_connected(struct sl_publisher *publisher); // the publisher's connection is up
void status_send(struct sl_publisher *publisher);      // what is due and has room

// What connection_step does, for all connections.
void status_step(struct sl_publisher *publisher, int timeout_ms);

// Says offline everywhere and closes the connections. Where that is not acknowledged in time,
// without a goodbye: then the broker says it for us, by the will.
void status_leave(struct sl_publisher *publisher, int64_t stop_ns);

#endif
