// Storage with a volatile cache whose power can fail.
//
// At a power cut every 512-byte sector written since the last flush is kept, lost or torn, each for
// itself, so that writes reach the medium in any order. A fragile device may lose all of itself if
// it was being written, as flash does that rewrites a block of sectors to change one.
#ifndef SL_TESTS_DEVICE_SIM_H
#define SL_TESTS_DEVICE_SIM_H

#include "ota/device.h"

#define SIM_SECTOR 512u
#define SIM_MAX    16384u

// Of all devices that hang on one plug.
struct sim_power {
    uint64_t random;
    uint64_t ops;    // operations since the plug was put in
    uint64_t cut_at; // the operation with this number does not end; 0: none
    bool out;        // no power: every operation gives -ENODEV
};

struct sim_device {
    struct sl_ota_device device;
    struct sim_power *power;
    bool fragile;
    uint32_t flip_in; // the n-th write from now changes one bit and says nothing; 0: none
    bool dirty[SIM_MAX / SIM_SECTOR];
    uint8_t cache[SIM_MAX], medium[SIM_MAX];
};

uint64_t sim_random(struct sim_power *power);
void sim_device_init(struct sim_device *sim, struct sim_power *power, uint64_t size, bool fragile);

// What a cut does to the device, after which it reads as its medium.
void sim_device_cut(struct sim_device *sim);

#endif
