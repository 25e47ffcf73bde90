// Gives up everything but three descriptors.
#ifndef SL_OTA_USB_SANDBOX_H
#define SL_OTA_USB_SANDBOX_H

#include "ota/usb/volume.h"

// From here on this thread can only pread64 `device`, read `in`, write `out` and exit; any other
// system call kills the process. Every other descriptor is closed, and when the process is root it
// becomes `user`, or 'nobody' where there is no such user. Returns 0 or a negative errno; after a
// failure the process must exit.
int sl_stick_sandbox(int device, int in, int out, const char *user, struct sl_volume_error *error);

#endif
