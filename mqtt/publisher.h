// The publisher: an MQTT connection for the whole daemon, on its own thread and poll loop.
//
// Nothing here ever blocks the caller: what is handed over is copied into the ledger's bounded
// queue, and published from its disk, QoS 1; a record is done with when the broker acknowledges it,
// and parked when the broker refuses it. What was not acknowledged goes again, after a lost
// connection as after a restart: consumers tell by (camera, stream, seq). New records do not wait
// for late ones; those carry the user property history=true. State topics (status, info, health,
// metrics, verdict/last) keep only their newest value and are published again at every connect.
//
// Topics are ROOT/CAMERA/… with status (online, offline), info, verdict, verdict/last, defect, gap,
// alarm, health, metrics, model/state, crop/NAME, crop/last, frame; cmd/VERB is answered on
// reply/VERB, or on the response topic that it brings if that is below ROOT/CAMERA/reply/. Retained
// commands are refused without an answer, repeated ones with it, both counted. If the daemon dies
// or is cut off, the broker says offline for each camera: a connection has one will, so every
// camera but the first has a connection of its own for that (CLIENT_ID.CAMERA; neither has a
// dot, so no other client is called so). With broker.discovery, Home Assistant is told of every
// camera, at each connect and each time that it says on DISCOVERY/status that it has started.
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
    uint64_t queued;                                   // or acknowledged just now
    uint64_t waiting;                                  // of these, not on disk yet
    uint64_t ledger_bytes, ledger_records;
    uint64_t reconnects;
    uint64_t commands, commands_refused;      // all, and those that were not carried out
    uint64_t pictures_sent, pictures_dropped; // of parts; dropped: there was no room, or too large
    char last_error[160];
    char connection_problem[160]; // a rival of the same name, an old protocol; empty: none
    char sparkplug_problem[160]; // why the edge node says nothing; empty: it does, or is not wanted
    char commands_problem[160];  // why no commands come; empty: they do
    char ledger_problem[200];    // why the ledger does not do all it should; empty: it does
};

enum sl_state_topic { SL_STATE_INFO = 1, SL_STATE_HEALTH, SL_STATE_METRICS, SL_STATE_MODEL };

// Starts the threads; an absent broker is not an error (it keeps trying). Of `config` the broker,
// the ledger, the cameras' names and metrics_interval_s are used, and copied. `commands` and `ctx`
// serve cmd/VERB of every camera; they must outlive the publisher. Refuses what cannot work:
// unreadable password or certificate files, a ledger that another process writes.
struct sl_publisher *sl_publisher_new(const struct sl_config *config,
                                      const struct sl_command *commands, size_t n_commands,
                                      void *ctx, GError **error);

// Waits at most `timeout_ms` for what is queued, up to a quarter of it (500 ms at most) kept for
// publishing `offline`. What was not sent stays on disk. NULL is fine.
void sl_publisher_free(struct sl_publisher *publisher, uint32_t timeout_ms);

// Any thread; copies; gives the verdict its sequence number and returns it; 0 if its camera is
// none of the publisher's. Allocates nothing.
uint64_t sl_publisher_verdict(struct sl_publisher *publisher, const struct sl_verdict *verdict);

// Any thread; `json` is copied. Only the newest per camera and topic is kept.
void sl_publisher_state(struct sl_publisher *publisher, const char *camera,
                        enum sl_state_topic topic, const char *json);

// Any thread: writes an operator's word on a part, the arguments of cmd/feedback, to the ledger.
// False if it takes no more now.
bool sl_publisher_feedback(struct sl_publisher *publisher, const char *camera, const char *part_id,
                           const cJSON *arguments);

// Any thread: an alarm of a camera, a JSON object, to the ledger and the topic `alarm`. False if
// the ledger takes no more now.
bool sl_publisher_alarm(struct sl_publisher *publisher, const char *camera, const char *json);

// Where the ledger's database is now; valid as long as the publisher.
const char *sl_publisher_ledger_folder(struct sl_publisher *publisher);

// Within a command's handler, which then returns SL_COMMAND_LATER: a token for the answer. 0: too
// many wait. Answered from any thread; `data` is taken over; a token of 0 is fine.
uint32_t sl_publisher_defer(struct sl_publisher *publisher);
void sl_publisher_answer(struct sl_publisher *publisher, uint32_t token, int status,
                         const char *message, cJSON *data);

struct sl_published_picture {
    const char *camera;
    const char *part_id; // NULL or empty: none
    const char *crop;    // its name, a level of a topic; NULL or empty: a preview
    const void *jpeg;    // at most 100,000 bytes; copied
    size_t size;
};

// Any thread. A named picture goes to crop/NAME (QoS 1) and crop/last (retained), a preview to
// frame. What does not fit into the bounded memory is dropped, oldest first, and counted.
void sl_publisher_picture(struct sl_publisher *publisher,
                          const struct sl_published_picture *picture);

void sl_publisher_stats(struct sl_publisher *publisher, struct sl_publisher_stats *out);

// When the last verdict of this camera was handed to the broker's socket, CLOCK_MONOTONIC; 0 never.
int64_t sl_publisher_last_sent_ns(struct sl_publisher *publisher);

#endif
