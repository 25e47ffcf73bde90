// Inside of mqtt/sparkplug: the edge node's state, and what its files give each other.
//
// sparkplug.c is what any thread may call and the thread, node.c the session (births, deaths,
// commands, primary host), data.c the verdicts.
#ifndef SL_MQTT_SPARKPLUG_NODE_H
#define SL_MQTT_SPARKPLUG_NODE_H

#include "mqtt/connection.h"
#include "mqtt/ledger/store.h"
#include "mqtt/sparkplug/payload.h"
#include "mqtt/sparkplug/progress.h"
#include "mqtt/sparkplug/sparkplug.h"

#include <pthread.h>

#define NODE_BATCH 32

struct node_counts {
    uint64_t parts, rejects;
};

struct node_camera {
    const char *name;
    char *birth, *data, *death, *command; // topics
    // Under the node's lock: what the daemon says.
    bool works;
    char health[16], model[64];
    // Of the thread.
    bool born, rebirth;
    char said_health[16], said_model[64];
    char last_part[64];
    uint32_t last_result;
    uint64_t last_seq;
    int64_t last_ms;
    struct node_counts live, history;
    int64_t boundary, history_after; // records up to the boundary are history
    struct progress_camera mark;     // where it was at the last mark
};

#define NODE_STATES 2u // metrics of the node that change

struct node_state {
    size_t health;    // the worst of its cameras
    uint64_t working; // cameras
};

struct node_batch {
    struct store_row rows[NODE_BATCH];
    int n, at;
};

struct sl_sparkplug {
    // Fixed before the thread starts.
    const struct sl_config_broker *broker;
    char *client_id, *password, *psk, *folder;
    const char *node, *primary_host;
    char *birth_topic, *data_topic, *death_topic, *command_topic, *device_commands, *state_topic;
    struct sl_ledger *ledger;
    uint32_t history_rate;
    const struct sl_command *commands;
    size_t n_commands;
    void *commands_ctx;
    size_t n_cameras;
    struct node_camera cameras[PROGRESS_CAMERAS];
    int wake_fd;
    pthread_t thread;

    pthread_mutex_t lock;
    bool stopping;
    int64_t stop_ns;
    char problem[160];

    // Of the thread.
    struct connection connection;
    void *will;
    struct progress progress;
    bool born, rebirth, host_online, host_left;
    struct node_state said;
    uint64_t host_ms; // timestamp of the newest STATE
    int seq;
    struct store_reader reader;
    unsigned generation;
    int64_t begun;      // the ledger's newest record when the node was made
    int64_t live_after; // all newer records are still to be told
    struct node_batch live, past;
    size_t past_camera; // whose rows `past` holds
    double allowance;   // of history, now
    int64_t counted_ns, mark_ns, saved_ns;
    bool changed; // progress that is not on disk yet
};

// node.c
extern const struct connection_events node_events;
bool node_pump(struct sl_sparkplug *node); // sends what may go; true: there is more to come soon
bool node_publish(struct sl_sparkplug *node, const char *topic,
                  const struct sparkplug_metric *metrics, size_t n, bool birth);
void node_leave(struct sl_sparkplug *node, int64_t until_ns); // NDEATH, and the connection ends
void node_problem(struct sl_sparkplug *node, const char *text);
uint64_t node_now_ms(void);

// states.c
struct node_state states_of(struct sl_sparkplug *node);
// Those that differ from what was `said`; NULL: all.
size_t states_metrics(const struct node_state *state, const struct node_state *said,
                      struct sparkplug_metric out[NODE_STATES]);
bool states_send(struct sl_sparkplug *node); // what has changed; false: it could not go yet

// data.c
bool data_open(struct sl_sparkplug *node);                               // the ledger can be read
void data_restart(struct sl_sparkplug *node);                            // from now on, all is live
void data_resume(struct sl_sparkplug *node, struct node_camera *camera); // a camera is to be born
size_t data_metrics(const struct node_camera *camera, struct sparkplug_metric *out); // for DBIRTH
bool data_send(struct sl_sparkplug *node);                                           // as node_pump
void data_forget(struct sl_sparkplug *node);         // the connection broke
void data_keep(struct sl_sparkplug *node, bool all); // what the host has, to disk
void data_clear(struct sl_sparkplug *node);

#endif
