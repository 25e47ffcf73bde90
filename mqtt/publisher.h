// The publisher: one MQTT connection for the whole daemon, on its own thread and poll loop.
//
// Nothing here ever blocks the caller: what is handed over is copied into a bounded queue. Verdicts
// that were taken are published in order, QoS 1, and leave the queue when the broker acknowledges
// them; when the queue is full the oldest is dropped and counted. A verdict whose acknowledgement
// was lost with the connection is sent again: consumers tell by (camera, stream, seq). State topics
// (status, info, health, metrics, verdict/last) keep only their newest value and are published
// again at every connect.
//
// Topics are ROOT/CAMERA/… with status (online, offline), info, verdict, verdict/last, defect,
// health, metrics; cmd/VERB is answered on reply/VERB, or on the response topic that it brings.
// Retained commands are ignored. A connection has one will: with one camera it sets
// ROOT/CAMERA/status to offline; with several it sets ROOT/CLIENT_ID/status, which then says
// online or offline for the daemon beside the cameras' own, which a crash leaves at online.
#ifndef SL_MQTT_PUBLISHER_H
#define SL_MQTT_PUBLISHER_H

#include "config/camera.h"
#include "mqtt/command.h"
#include "mqtt/verdict.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

struct sl_publisher;

struct sl_publisher_stats {
    bool connected;
    uint64_t accepted, acknowledged, dropped, refused; // verdicts; refused: PUBACK ≥ 0x80
    uint32_t queued;
    uint64_t reconnects;
    char last_error[160];
};

enum sl_state_topic { SL_STATE_INFO = 1, SL_STATE_HEALTH, SL_STATE_METRICS };

// Starts the thread; an absent broker is not an error (it keeps trying). `commands` and `ctx` serve
// cmd/VERB of every camera; they must outlive the publisher. Refuses what cannot work: unreadable
// password or certificate files.
struct sl_publisher *sl_publisher_new(const struct sl_config_broker *broker,
                                      const char *const *cameras, size_t n_cameras,
                                      const struct sl_command *commands, size_t n_commands,
                                      void *ctx, GError **error);

// Waits at most `timeout_ms` for what is queued, up to a quarter of it (500 ms at most) kept for
// publishing `offline`. Without a broker it waits only while verdicts are queued. NULL is fine.
void sl_publisher_free(struct sl_publisher *publisher, uint32_t timeout_ms);

// Any thread; copies; gives the verdict its sequence number and returns it; 0 if its camera is
// none of the publisher's. Allocates nothing.
uint64_t sl_publisher_verdict(struct sl_publisher *publisher, const struct sl_verdict *verdict);

// Any thread; `json` is copied. Only the newest per camera and topic is kept.
void sl_publisher_state(struct sl_publisher *publisher, const char *camera,
                        enum sl_state_topic topic, const char *json);

void sl_publisher_stats(struct sl_publisher *publisher, struct sl_publisher_stats *out);

// When the last verdict of this camera was handed to the broker's socket, CLOCK_MONOTONIC; 0 never.
int64_t sl_publisher_last_sent_ns(struct sl_publisher *publisher);

#endif
