// Storage of the update agent: bounds, before any device is asked.
#include "ota/device.h"

#include <errno.h>

static bool inside(const struct sl_ota_device *device, uint64_t offset, size_t size)
{
    return size <= device->size && offset <= device->size - size;
}

int sl_device_read(struct sl_ota_device *device, uint64_t offset, void *bytes, size_t size)
{
    return inside(device, offset, size) ? device->ops->read(device, offset, bytes, size) : -ERANGE;
}

int sl_device_write(struct sl_ota_device *device, uint64_t offset, const void *bytes, size_t size)
{
    return inside(device, offset, size) ? device->ops->write(device, offset, bytes, size) : -ERANGE;
}

int sl_device_flush(struct sl_ota_device *device)
{
    return device->ops->flush(device);
}
