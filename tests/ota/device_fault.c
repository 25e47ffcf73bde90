// A device whose n-th operation of a kind fails.
#include "device_fault.h"

#include <errno.h>

static struct fault_device *fault_of(struct sl_ota_device *device)
{
    return (struct fault_device *)(void *)((char *)device - offsetof(struct fault_device, device));
}

static bool fails(struct fault_plan *plan, enum fault_kind kind)
{
    uint64_t seen = ++plan->seen[kind];
    return kind == plan->kind && plan->at > 0 &&
           (plan->for_ever ? seen >= plan->at : seen == plan->at);
}

static int fault_read(struct sl_ota_device *device, uint64_t offset, void *bytes, size_t size)
{
    struct fault_device *fault = fault_of(device);
    return fails(fault->plan, FAULT_READ) ? -EIO
                                          : sl_device_read(fault->behind, offset, bytes, size);
}

static int fault_write(struct sl_ota_device *device, uint64_t offset, const void *bytes,
                       size_t size)
{
    struct fault_device *fault = fault_of(device);
    if (!fails(fault->plan, FAULT_WRITE))
        return sl_device_write(fault->behind, offset, bytes, size);
    sl_device_write(fault->behind, offset, bytes, size / 2);
    return -EIO;
}

static int fault_flush(struct sl_ota_device *device)
{
    struct fault_device *fault = fault_of(device);
    return fails(fault->plan, FAULT_FLUSH) ? -EIO : sl_device_flush(fault->behind);
}

void fault_device_init(struct fault_device *fault, struct sl_ota_device *behind,
                       struct fault_plan *plan)
{
    static const struct sl_ota_device_ops ops = {fault_read, fault_write, fault_flush};
    *fault = (struct fault_device){{&ops, behind->size}, behind, plan};
}
