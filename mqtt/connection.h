// Inside of mqtt/: one connection to the broker, on the poll loop of the thread that uses it.
//
// libmosquitto's own thread dies silently on several errors, and its queue would keep and repeat
// what ours keeps already. So every attempt is a fresh client, nothing is published before CONNACK,
// and when the connection goes all that is unanswered is forgotten here: the owner sends it again.
//
// MQTT 5; a broker that does not take it, or ends such attempts without a word, gets MQTT 3.1.1:
// without expiry, content type, history mark and session expiry, and without being told what it
// refuses.
//
// Connecting does not block; looking the host's name up does.
#ifndef SL_MQTT_CONNECTION_H
#define SL_MQTT_CONNECTION_H

#include "config/camera.h"

#include <mosquitto.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONNECTION_WINDOW 20u // QoS 1 messages on the way

struct connection_will {
    const char *topic;
    const void *payload;
    size_t size;
    bool retain;
    uint32_t delay_s; // MQTT 5: an outage shorter than this is none
};

struct connection_events { // all called from connection_step and connection_close
    void (*up)(void *ctx);
    void (*down)(void *ctx);
    void (*settled)(void *ctx, uint64_t token, uint32_t item, bool refused);
    void (*message)(void *ctx, const struct mosquitto_message *message,
                    const mosquitto_property *properties);
    void (*failed)(void *ctx, const char *error); // any trouble, in words
    void (*denied)(void *ctx, const char *error); // a subscription; may be NULL
    // An attempt begins: the last time to change the will. May be NULL.
    void (*connecting)(void *ctx);
};

struct connection_message {
    const char *topic;
    const void *payload;
    size_t size;
    int qos;
    bool retain;
    uint32_t expiry_s;        // 0: none
    const char *content_type; // NULL: none
    const void *correlation;  // NULL: none
    uint16_t correlation_size;
    const char *part_id, *crop_id; // user properties of a picture; NULL: none
    bool history;                  // sent late: user property history=true
    uint64_t token;                // comes back in `settled`; 0: nobody waits for it
    uint32_t item;
};

struct connection {
    // Set by the owner, left alone here.
    const struct sl_config_broker *broker;
    const char *client_id, *password, *psk; // psk: hexadecimal
    struct connection_will will;            // topic NULL: none
    uint32_t session_s; // MQTT 5: the broker keeps the session for so long; 0: clean start
    int goodbye;        // MQTT 5: reason code of the last DISCONNECT
    const struct connection_events *events;
    void *ctx;
    // Of this file.
    struct mosquitto *mosq;
    bool up, lost;
    bool closed;          // the other side ended this one without a word
    bool greeted;         // the last attempt came as far as sending CONNECT
    bool v311;            // MQTT 3.1.1, because the broker does not take 5
    uint32_t unheard;     // attempts in a row that ended before CONNACK
    uint32_t short_lives; // connections in a row that came up and were ended by the broker at once
    int64_t rivals_ns; // when that, or a DISCONNECT, told of another client of our name; 0: never
    char reason[160];  // why it is lost, if that is known better than by libmosquitto's status
    uint32_t backoff_ms;
    int64_t next_attempt_ns, attempt_ns, up_ns;
    uint32_t n_pending;
    struct {
        int mid;
        uint32_t item;
        uint64_t token;
        int64_t sent_ns;
    } pending[CONNECTION_WINDOW];
};

// Waits for the socket, `wake_fd` (an eventfd, read empty) or `timeout_ms`, and does what is due.
void connection_step(struct connection *connection, int wake_fd, int timeout_ms);

// The same for a poll loop that waits for other things too: what to wait for, and for how long at
// most; then what came of it.
struct pollfd connection_prepare(struct connection *connection, int *timeout_ms);
void connection_dispatch(struct connection *connection, short revents);

bool connection_has_room(const struct connection *connection); // up, and the window not full
bool connection_is_idle(const struct connection *connection);  // nothing waits for the socket

// 0; -EAGAIN: try again when there is room; -EMSGSIZE: the broker does not take messages so large.
int connection_publish(struct connection *connection, const struct connection_message *message);

void connection_subscribe(struct connection *connection, const char *filter);
// With the messages that the broker keeps, and again with them if it is subscribed already.
void connection_subscribe_retained(struct connection *connection, const char *filter, int qos);
void connection_unsubscribe(struct connection *connection, const char *filter);
// What is wrong with a connection that is up, in words; NULL: nothing.
const char *connection_remark(const struct connection *connection);

// With `clean`, says goodbye first, which keeps the broker from sending the will.
void connection_close(struct connection *connection, bool clean);

int64_t connection_now_ns(void); // CLOCK_MONOTONIC

#endif
