// A private Mosquitto on a free loopback port, and a client that writes down what it sees.
#ifndef SL_TESTS_MQTT_BROKER_H
#define SL_TESTS_MQTT_BROKER_H

#include <mosquitto.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// Users: "app" may everything, "limited" may connect and write nothing but a status. Both with the
// password "secret". Sessions and messages survive a kill, if it comes a moment later.
struct broker {
    char folder[64];
    uint16_t port;
    pid_t pid; // 0: not running
};

void broker_prepare(struct broker *broker); // chooses port and folder
void broker_start(struct broker *broker);   // returns when it accepts connections
void broker_kill(struct broker *broker);    // SIGKILL; fine if it is not running
void broker_stop(struct broker *broker);    // SIGTERM: it saves sessions first
void broker_remove(struct broker *broker);  // kills, and removes the folder
void broker_path(const struct broker *broker, const char *name, char out[128]);

struct seen {
    char *topic, *payload, *correlation;
    bool retain;
};

struct observer {
    struct mosquitto *mosq;
    struct broker *broker;
    struct seen *seen;
    size_t n_seen;
    bool connected, subscribed;
};

// With a session that outlives connections; subscribed to # when it returns.
void observer_start(struct observer *observer, struct broker *broker);
void observer_stop(struct observer *observer);
void observer_poll(struct observer *observer, int ms); // reconnects if it must
void observer_forget(struct observer *observer);       // what was seen so far

// The newest on that topic, NULL if there was none.
const struct seen *observer_find(const struct observer *observer, const char *topic);
size_t observer_count(const struct observer *observer, const char *topic);

#endif
