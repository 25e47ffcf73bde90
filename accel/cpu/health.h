// Temperature and clock of the processor, as the kernel shows them in sysfs.
#ifndef SL_ACCEL_CPU_HEALTH_H
#define SL_ACCEL_CPU_HEALTH_H

#include "accel/plugin.h"

// `root` is "/sys", but for tests. What the kernel does not show stays NAN.
void cpu_read_health(const char *root, struct sl_device_health *out);

#endif
