// `sightline bundle seed` of a catalog or an order: the broker keeps it for every camera.
#ifndef SL_OTA_BROKER_SEED_DOCUMENT_H
#define SL_OTA_BROKER_SEED_DOCUMENT_H

#include "mqtt/connection.h"

// Whether the file starts like a catalog or an order.
bool seed_is_document(const char *path);

// Publishes it, or takes it back, and waits for the broker's word. `connection` has broker, name
// and password; `wait_s`: how long to try. Exit status.
int seed_document(struct connection *connection, const char *root, const char *path, bool withdraw,
                  uint32_t wait_s);

#endif
