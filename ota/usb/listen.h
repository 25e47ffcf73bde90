// Where stick readers come to the agent: a socket of the service manager's, or one of our own.
#ifndef SL_OTA_USB_LISTEN_H
#define SL_OTA_USB_LISTEN_H

#include "ota/usb/client.h"

#include <sys/types.h>

// The socket that the service manager passed under the name "stick" (LISTEN_FDS, LISTEN_FDNAMES:
// sd_listen_fds(3)); where there is none, a new one at `path` for our own user, replacing an old
// socket there. Returns a descriptor that poll() finds readable when a stick is offered, or a
// negative errno.
int sl_stick_listen(const char *path, struct sl_volume_error *error);

// Takes the next offered stick; `*user` is the user of the reader's process. -EAGAIN: none waits.
int sl_stick_accept(int listener, int timeout_ms, struct sl_stick **out, uid_t *user,
                    struct sl_volume_error *error);

#endif
