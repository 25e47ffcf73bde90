// Inside of mqtt/: what Home Assistant is told, so that every camera appears there as a device.
//
// One retained message per entity on PREFIX/COMPONENT/NODE/OBJECT/config. NODE is the name that the
// broker's access list knows: the camera's, or the root's last level where the root has several.
// Source of keys and device classes: Home Assistant's documentation of MQTT discovery.
#ifndef SL_MQTT_HOMEASSISTANT_H
#define SL_MQTT_HOMEASSISTANT_H

#include <stddef.h>

struct homeassistant_message {
    char *topic, *payload;
};

// Entities of one camera.
size_t homeassistant_count(void);

// Message `index` of a camera, to be freed with homeassistant_clear.
void homeassistant_make(const char *prefix, const char *root, const char *camera, size_t index,
                        struct homeassistant_message *out);
void homeassistant_clear(struct homeassistant_message *message);

#endif
