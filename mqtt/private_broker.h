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
// configuration, `password`. Sessions and messages survive SIGTERM; with `persistent`, a kill too.
bool sl_private_broker_prepare(struct sl_private_broker *broker, const char *folder,
                               bool persistent, GError **error);
bool sl_private_broker_start(struct sl_private_broker *broker, GError **error);
void sl_private_broker_stop(struct sl_private_broker *broker, int signal); // fine if not running
void sl_private_broker_remove(struct sl_private_broker *broker); // its files, not the folder

// A client (MQTT 5, TCP_NODELAY) whose subscription the broker has confirmed, with a session that
// outlives connections; there can be one. Waits for a broker that has just been started. NULL with
// `error` otherwise. To be disconnected and destroyed by the caller.
struct mosquitto *sl_private_broker_subscribe(const struct sl_private_broker *broker,
                                              const char *filter, int qos,
                                              void (*message)(struct mosquitto *, void *,
                                                              const struct mosquitto_message *,
                                                              const mosquitto_property *),
                                              void *ctx, GError **error);
// Connects it again, to the session that it had, after the broker was stopped and started.
bool sl_private_broker_resume(const struct sl_private_broker *broker, struct mosquitto *client,
                              GError **error);

#endif
