// A camera's receiver on a connection to the broker, for a poll loop that waits for other things
// too.
#ifndef SL_OTA_BROKER_LINK_H
#define SL_OTA_BROKER_LINK_H

#include "mqtt/connection.h"
#include "mqtt/credentials.h"
#include "ota/broker/receiver.h"

struct sl_link_ports { // as in struct sl_receiver_ports
    void *ctx;
    void (*offer)(void *ctx, const uint8_t *head, uint32_t size);
    int (*chunk)(void *ctx, uint32_t index, const uint8_t *octets, size_t size);
    void (*trouble)(void *ctx, const char *text); // connection lost or refused, in words; or NULL
};

struct sl_link {
    struct sl_receiver receiver;
    struct connection connection;
    struct sl_link_ports ports;
    char *password, client_id[SL_PACKET_CAMERA_MAX + 24];
};

// Copies pointers only: `broker`, `root` and `camera` live as long as the link. False and *error if
// a name is not one, or a file cannot be read. Large: make the struct static.
bool sl_link_open(struct sl_link *link, const struct sl_config_broker *broker, const char *root,
                  const char *camera, const struct sl_link_ports *ports, GError **error);
void sl_link_close(struct sl_link *link);

// What to poll for and for how long at most; then what came of it. The fetch is started and stopped
// with the receiver's functions.
struct pollfd sl_link_prepare(struct sl_link *link, int *timeout_ms);
void sl_link_dispatch(struct sl_link *link, short revents);

uint64_t sl_link_now_ms(void); // what the receiver's times are

#endif
