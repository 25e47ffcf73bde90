// The agent's side of the stick reader: starts or adopts the process, and believes nothing it says
// before it has been checked.
//
// Not for two threads at once. Every call returns by its deadline. After a failure of the reader
// itself (it died, hung, or broke the protocol) the connection is over, and every later call
// returns the same reason; a failure that the reader reports (a damaged file) leaves it usable.
#ifndef SL_OTA_USB_CLIENT_H
#define SL_OTA_USB_CLIENT_H

#include "ota/usb/volume.h"

struct sl_stick;

struct sl_stick_file {
    char name[SL_VOLUME_NAME_SIZE]; // UTF-8; to be shown, never used as a path
    uint64_t length;
};

struct sl_stick_listing {
    enum sl_volume_kind kind;
    unsigned partition;
    bool dirty;
    uint64_t device_length;
    uint32_t count;
    struct sl_stick_file files[];
};

// Starts `program` (sightline-stick) on `device`, with an empty environment and no descriptors but
// its socket and standard error. `timeout_ms` bounds each request. Returns 0 or a negative errno.
int sl_stick_spawn(const char *program, const char *device, int timeout_ms, struct sl_stick **out,
                   struct sl_volume_error *error);

// Takes over a connected stream socket at whose other end a reader serves; owns `fd` also when it
// fails.
int sl_stick_adopt(int fd, int timeout_ms, struct sl_stick **out, struct sl_volume_error *error);

// Looks at the stick (again). The listing belongs to `stick` and lives until it is closed. -ESTALE
// when a second look shows another listing than the first. Else as sl_volume_open, or -EPROTO
// (nonsense), -ETIMEDOUT, -EPIPE (the reader is gone).
int sl_stick_list(struct sl_stick *stick, const struct sl_stick_listing **out,
                  struct sl_volume_error *error);

// Reads a range of a file of the listing; any length. Pieces of 256 KiB that are read a second
// time must be what they were: -ESTALE if not. Otherwise as sl_stick_list.
int sl_stick_read(struct sl_stick *stick, uint32_t index, uint64_t offset, void *bytes,
                  size_t length, struct sl_volume_error *error);

// Ends the reader (a spawned one is killed where it does not go by itself). NULL is allowed.
void sl_stick_close(struct sl_stick *stick);

#endif
