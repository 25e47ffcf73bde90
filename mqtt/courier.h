// Inside of mqtt/: the publisher's state, and its network thread.
#ifndef SL_MQTT_COURIER_H
#define SL_MQTT_COURIER_H

#include "mqtt/connection.h"
#include "mqtt/publisher.h"
#include "mqtt/verdict_json.h"
#include "mqtt/verdict_queue.h"

#include <pthread.h>
#include <stdatomic.h>

#define COURIER_STATES 3 // enum sl_state_topic

struct courier_camera {
    char name[64];
    char *verdict, *last, *defect, *reply; // topics; `reply` ends with a slash
    char *state[COURIER_STATES];
    char *commands; // "ROOT/CAMERA/cmd/"
    // Under the publisher's lock.
    uint64_t seq;
    struct sl_verdict newest; // seq 0: none yet
    bool newest_due;
    char *payload[COURIER_STATES]; // GRefString
    bool due[COURIER_STATES];
};

struct courier_status { // one topic that says online or offline
    char *topic;
    bool due; // network thread only
};

struct sl_publisher {
    // Fixed before the thread starts.
    struct sl_config_broker broker;
    char *client_id, *password;
    struct sl_verdict_origin origin;
    const struct sl_command *commands;
    size_t n_commands;
    void *commands_ctx;
    size_t n_cameras, n_statuses;
    struct courier_camera *cameras;
    struct courier_status *statuses; // the first is the will's
    uint32_t metrics_expiry_s;
    int wake_fd;
    pthread_t thread;
    _Atomic int64_t last_sent_ns;

    pthread_mutex_t lock;
    struct verdict_queue queue;
    struct sl_publisher_stats stats;
    bool stopping;
    int64_t drain_ns, stop_ns; // when to stop sending verdicts, and when to stop at all

    // Network thread only.
    struct connection connection;
    bool connected_before;
    bool leaving; // statuses say offline
    char json[SL_VERDICT_JSON_MAX];
    struct sl_verdict sending;
};

void *courier_run(void *publisher); // the thread

extern const struct connection_events courier_events;

#endif
