// Temperature and clock of the processor, as the kernel shows them in sysfs.
#include "accel/cpu/health.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { ZONES = 16 };

// The number in a small file times `factor`, NAN if it is not there.
static float read_number(const char *path, float factor)
{
    char text[32];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NAN;
    ssize_t length = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (length <= 0)
        return NAN;
    text[length] = '\0';
    char *end;
    float value = strtof(text, &end);
    return end == text ? NAN : value * factor;
}

// Of the hottest zone.
static float temperature(const char *root)
{
    char path[256];
    float hottest = NAN;
    for (int i = 0; i < ZONES; i++) {
        snprintf(path, sizeof(path), "%s/class/thermal/thermal_zone%d/temp", root, i);
        hottest = fmaxf(hottest, read_number(path, 1e-3f)); // fmaxf leaves NAN out
    }
    return hottest;
}

void cpu_read_health(const char *root, struct sl_device_health *out)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", root);
    out->ok = 1;
    out->errors = 0;
    out->temperature_c = temperature(root);
    out->clock_mhz = read_number(path, 1e-3f);
}
