// A Sparkplug B 3.0 edge node: the appliance is the node, every camera a device of it.
//
// A connection of its own, on a thread of its own, because a connection has one will and here it is
// the node's death certificate. Topics are spBv1.0/GROUP/{NBIRTH,NDATA,NDEATH}/NODE, …/{DBIRTH,
// DDATA,DDEATH}/NODE/CAMERA; commands come on NCMD and DCMD. The node's metrics that change:
// Health, the worst of its cameras, and Cameras/Working. A device's metrics: Parts, Rejects (NG and
// ERROR), Yield in percent, Last/Result, Last/PartId, Last/Seq, Model/Version, Health; to be
// written: Device Control/Rebirth and Device Control/Trigger; of the node Node Control/Rebirth.
//
// Verdicts come from the ledger. Those that the host has missed (no broker, primary host offline,
// camera away) follow a birth as is_historical, oldest first, at the ledger's history rate; new
// ones do not wait for them. Sparkplug's data are QoS 0, so what was sent less than one and a half
// keep-alives before a connection broke goes again. How far the host was told is kept in the
// ledger's folder (progress.h), so nothing is forgotten over a restart; what was in the ledger
// before the first start is not told. A camera is born when its health says that it works, and dies
// when it is lost.
#ifndef SL_MQTT_SPARKPLUG_H
#define SL_MQTT_SPARKPLUG_H

#include "config/camera.h"
#include "mqtt/command.h"
#include "mqtt/ledger/ledger.h"
#include "mqtt/publisher.h"

struct sl_sparkplug;

struct sl_sparkplug_options {
    const struct sl_config_broker *broker;  // with its section sparkplug; must outlive the node
    const char *client_id, *password, *psk; // of the publisher; copied
    const struct sl_config_ledger *ledger_config;
    struct sl_ledger *ledger; // must outlive the node
    const char *const *cameras;
    size_t n_cameras;                  // at most 16
    const struct sl_command *commands; // `trigger` of it is called on the node's thread
    size_t n_commands;
    void *commands_ctx;
    int wake_fd; // an eventfd of the caller: write it when the ledger has something new
};

struct sl_sparkplug *sl_sparkplug_new(const struct sl_sparkplug_options *options, GError **error);
// Says goodbye (NDEATH) within `timeout_ms`. NULL is fine.
void sl_sparkplug_free(struct sl_sparkplug *sparkplug, uint32_t timeout_ms);

// Any thread, and NULL is fine.
void sl_sparkplug_state(struct sl_sparkplug *sparkplug, const char *camera,
                        enum sl_state_topic topic, const char *json);
void sl_sparkplug_problem(struct sl_sparkplug *sparkplug, char *out, size_t size); // "": none

#endif
