// Listings of a reader, checked.
#ifndef SL_OTA_USB_CLIENT_LISTING_H
#define SL_OTA_USB_CLIENT_LISTING_H

#include "ota/usb/client.h"

#include <sys/types.h>

// Makes a listing from a reply's bytes; `*out` is for free(). 0, -ENOMEM, or -EPROTO.
int sl_stick_parse_listing(const uint8_t *bytes, size_t length, struct sl_stick_listing **out,
                           struct sl_volume_error *error);

#endif
