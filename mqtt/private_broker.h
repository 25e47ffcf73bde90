// A Mosquitto of one's own on a loopback port, for measurements: started, killed, started again.
#ifndef SL_MQTT_PRIVATE_BROKER_H
#define SL_MQTT_PRIVATE_BROKER_H

#include <glib.h>
#include <mosquitto.h>
#include <stdbool.h>

#define SL_PRIVATE_BROKER_USER "bench"

struct sl_private_broker {
    const char *folder; // of the caller; the broker's files are made in it
    char password[40];
    int port;
    GPid pid; // 0: not running
};

// Chooses port and password and writes the files: `users`, `mosquitto.conf` and, for the daemon's
// configuration, `password`. With `persistent`, sessions and messages survive a kill.
bool sl_private_broker_prepare(struct sl_private_broker *broker, const char *folder,
                               bool persistent, GError **error);
bool sl_private_broker_start(struct sl_private_broker *broker, GError **error);
void sl_private_broker_stop(struct sl_private_broker *broker, int signal); // fine if not running
void sl_private_broker_remove(struct sl_private_broker *broker); // its files, not the folder

// A client that is connected (MQTT 5, TCP_NODELAY) and has subscribed; waits up to 5 s for the
// broker. NULL with `error` otherwise. To be disconnected and destroyed by the caller.
struct mosquitto *sl_private_broker_subscribe(const struct sl_private_broker *broker,
                                              const char *filter, int qos,
                                              void (*message)(struct mosquitto *, void *,
                                                              const struct mosquitto_message *,
                                                              const mosquitto_property *),
                                              void *ctx, GError **error);

#endif
