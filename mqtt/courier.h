// Inside of mqtt/: the publisher's state, and its network thread.
#ifndef SL_MQTT_COURIER_H
#define SL_MQTT_COURIER_H

#include "mqtt/connection.h"
#include "mqtt/feed.h"
#include "mqtt/homeassistant.h"
#include "mqtt/later.h"
#include "mqtt/pictures.h"
#include "mqtt/publisher.h"
#include "mqtt/sparkplug/sparkplug.h"
#include "mqtt/status.h"

#include <pthread.h>
#include <stdatomic.h>

#define COURIER_STATES  4  // enum sl_state_topic
#define COURIER_REPLIES 64 // answers that wait for room in the window
#define COURIER_TOPIC   512
#define COURIER_JSON    "application/json"

struct courier_camera {
    char name[64];
    char *verdict, *last, *defect, *gap, *alarm, *reply; // topics; `reply` ends with a slash
    char *state[COURIER_STATES];
    char *commands; // "ROOT/CAMERA/cmd/"
    int64_t newest; // record that verdict/last shows; network thread only
    // Under the publisher's lock.
    char *payload[COURIER_STATES]; // GRefString
    bool due[COURIER_STATES];
};

struct sl_publisher {
    // Fixed before the thread starts.
    struct sl_config_broker broker;
    char *client_id, *password, *psk;
    char boot_id[40];
    const struct sl_command *commands;
    size_t n_commands;
    void *commands_ctx;
    size_t n_cameras;
    struct courier_camera *cameras;
    struct status *statuses; // of each camera; what is in them is the network thread's
    uint32_t metrics_expiry_s;
    char *birth; // where Home Assistant says that it has started; NULL: it is told nothing
    size_t n_discovery;
    struct homeassistant_message *discovery;
    int wake_fd;
    pthread_t thread;
    _Atomic int64_t last_sent_ns;

    struct sl_ledger *ledger;
    int sparkplug_fd;               // wakes it
    struct sl_sparkplug *sparkplug; // NULL: not wanted

    pthread_mutex_t lock;
    struct pictures pictures;
    struct later later;
    struct sl_publisher_stats stats;
    bool stopping;
    int64_t drain_ns, stop_ns; // when to stop sending verdicts, and when to stop at all

    // Network thread only.
    struct connection connection;
    struct courier_command *handled; // while its handler runs
    bool connected_before;
    struct pollfd *fds;
    bool leaving;      // statuses say offline
    size_t discovered; // messages of `discovery` that went
    struct feed feed;
    struct later_reply replies[COURIER_REPLIES];
    unsigned n_replies;
};

void *courier_run(void *publisher); // the thread

extern const struct connection_events courier_events;

// replies.c; network thread.
void replies_command(struct sl_publisher *publisher, const struct mosquitto_message *message,
                     const mosquitto_property *properties); // of a camera's topic cmd/VERB
bool replies_send(struct sl_publisher *publisher);          // false: there is no room for all
void replies_forget(struct sl_publisher *publisher);

#endif
