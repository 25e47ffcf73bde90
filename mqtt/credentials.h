// Inside of mqtt/: what a connection shows to a broker.
#ifndef SL_MQTT_CREDENTIALS_H
#define SL_MQTT_CREDENTIALS_H

#include "config/camera.h"

#include <glib.h>
#include <stdbool.h>

// Checks that the files that `broker` names can be read, and reads the password, one line, if there
// is one (else *password is NULL). *password is the caller's, for credentials_clear.
bool credentials_read(const struct sl_config_broker *broker, char **password, GError **error);
// The shared key, hexadecimal, if there is one (else *psk is NULL); as the password.
bool credentials_read_psk(const struct sl_config_broker *broker, char **psk, GError **error);
void credentials_clear(char *password); // NULL is fine

#endif
