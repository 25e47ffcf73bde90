// ota.yaml: the update agent's settings.
#ifndef SL_OTA_SETTINGS_H
#define SL_OTA_SETTINGS_H

#include "config/camera.h"
#include "config/yaml.h"

#include <stdint.h>

// When a bundle that is whole, and that no order of the site names, is tried; the last: never.
enum sl_gate { SL_GATE_AT_ONCE, SL_GATE_ON_DEMAND, SL_GATE_LINE_IDLE, SL_GATE_ORDER };

// Durations in seconds. What is not in the file is filled in.
struct sl_settings {
    uint32_t schema;
    char *storage;     // folder of the slots and state areas
    char *control;     // sightlined's socket
    char *agent;       // our own, for `sightline slot`
    char *stick;       // where readers offer sticks
    char *audit;       // file
    char *product;     // NULL: any
    char *hardware;    // NULL: any
    char *tensor;      // input that models must have, TYPE:LAYOUT:DIMS; NULL: any
    char *root;        // root document to trust when no state is left, NULL: none
    char *device_key;  // our secret key, for bundles that are encrypted for us; NULL: none
    char *must_detect; // folder of the site's pictures; nothing more is missed there; NULL: none
    char *self_test;   // program, NULL: the installed one
    char *camera;      // our name in orders, and on the broker: the account's
    struct sl_config_broker *broker; // from which bundles come, too; NULL: none
    uint32_t gate;                   // enum sl_gate
    uint32_t idle_s;                 // without a part for so long, the line is idle
    uint32_t self_test_s, shadow_s, probation_s;
};

// 0, or a negative errno with a message that names file, line and key.
int sl_settings_load(const char *path, struct sl_settings **out, struct sl_yaml_error *error);
void sl_settings_free(struct sl_settings *settings); // NULL is fine

#endif
