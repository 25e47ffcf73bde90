// Inside of a connection: what its files give each other.
#ifndef SL_MQTT_CONNECTION_INSIDE_H
#define SL_MQTT_CONNECTION_INSIDE_H

#include "mqtt/connection.h"

// The connection is lost, because `what` came to that status of libmosquitto's.
void connection_lose_status(struct connection *connection, const char *what, int status);

// connection_setup.c: gives the new client all that CONNECT says, and TLS. A status of
// libmosquitto's.
int connection_configure(struct connection *connection);

#endif
