// The plant's broker as a source of bundles (ota/source.h): a camera's receiver on a connection.
#ifndef SL_OTA_BROKER_SOURCE_H
#define SL_OTA_BROKER_SOURCE_H

#include "config/camera.h"
#include "ota/broker/packet.h"
#include "ota/source.h"

#include <glib.h>

struct sl_source_broker_options {
    const struct sl_config_broker *broker; // lives as long as the source
    const char *root;                      // first levels of the topics: SL_PACKET_ROOT
    const char *camera;                    // in whose name it asks: the account's
    uint32_t give_up_ms; // without a chunk for so long, `ended` is told; 0: two minutes
    void (*trouble)(void *context, const char *text); // connection lost, in words; or NULL
    void *context;
};

// NULL and *error if a name is not one, or a file of the broker's cannot be read. Texts are copied.
struct sl_source *sl_source_broker_new(const struct sl_source_broker_options *options,
                                       const struct sl_source_sink *sink, GError **error);

// What was delivered and dropped so far.
struct sl_receiver_counts;
const struct sl_receiver_counts *sl_source_broker_counts(const struct sl_source *source);

#endif
