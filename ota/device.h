// Storage of the update agent: a range of bytes that is read, written and flushed. Slots and state
// areas are such devices; nothing else in ota/ touches storage.
//
// A device belongs to one thread. All functions return 0 or a negative errno.
#ifndef SL_OTA_DEVICE_H
#define SL_OTA_DEVICE_H

#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sl_ota_device;

// `read` fetches from the medium itself where the implementation can, not from a cache of writes.
// A written byte may be lost, or be half of itself, until a `flush` has returned 0.
struct sl_ota_device_ops {
    int (*read)(struct sl_ota_device *device, uint64_t offset, void *bytes, size_t size);
    int (*write)(struct sl_ota_device *device, uint64_t offset, const void *bytes, size_t size);
    int (*flush)(struct sl_ota_device *device);
};

struct sl_ota_device {
    const struct sl_ota_device_ops *ops;
    uint64_t size; // bytes; does not change
};

// All of `size` or an error; -ERANGE for what is not inside the device, which is then not asked.
int sl_device_read(struct sl_ota_device *device, uint64_t offset, void *bytes, size_t size);
int sl_device_write(struct sl_ota_device *device, uint64_t offset, const void *bytes, size_t size);
int sl_device_flush(struct sl_ota_device *device);

// A file of fixed size or a block device.
#define SL_DEVICE_WINDOW 65536u

struct sl_device_file {
    struct sl_ota_device device;
    int fd;     // -1: not open
    int direct; // the same with O_DIRECT, for reading around the page cache; -1: not possible here
    bool dirty; // written since the last flush
    alignas(4096) uint8_t window[SL_DEVICE_WINDOW];
};

// The file must exist and be a regular file or a block device; its size is taken now. Locked
// against a second opener for writing (-EWOULDBLOCK). With `writable` false, writes give -EBADF.
int sl_device_file_open(struct sl_device_file *file, const char *path, bool writable);
void sl_device_file_close(struct sl_device_file *file);

#endif
