// A device in front of another one, whose n-th operation of a kind fails, once or from then on.
#ifndef SL_TESTS_DEVICE_FAULT_H
#define SL_TESTS_DEVICE_FAULT_H

#include "ota/device.h"

enum fault_kind { FAULT_READ, FAULT_WRITE, FAULT_FLUSH, FAULT_KINDS };

// Shared by all devices of a test. `at` counts from 1; 0: nothing fails.
struct fault_plan {
    enum fault_kind kind;
    uint64_t at;
    bool for_ever;
    uint64_t seen[FAULT_KINDS];
};

struct fault_device {
    struct sl_ota_device device;
    struct sl_ota_device *behind;
    struct fault_plan *plan;
};

// What fails gives -EIO; a write that fails has written its first half.
void fault_device_init(struct fault_device *fault, struct sl_ota_device *behind,
                       struct fault_plan *plan);

#endif
