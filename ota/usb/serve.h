// Answers requests for one stick until the other side closes.
#ifndef SL_OTA_USB_SERVE_H
#define SL_OTA_USB_SERVE_H

#include <stdint.h>

// Uses only read(in), write(out) and pread64(device), and no memory from the heap; `length` is the
// device's. Returns 0 when the other side has closed between two requests, -1 otherwise.
int sl_stick_serve(int device, uint64_t length, int in, int out);

#endif
