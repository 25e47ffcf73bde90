// Storage with a volatile cache whose power can fail.
#include "device_sim.h"

#include <errno.h>
#include <string.h>

uint64_t sim_random(struct sim_power *power)
{
    // xorshift64*, G. Marsaglia and S. Vigna
    power->random ^= power->random >> 12;
    power->random ^= power->random << 25;
    power->random ^= power->random >> 27;
    return power->random * UINT64_C(0x2545F4914F6CDD1D) >> 11;
}

static struct sim_device *sim_of(struct sl_ota_device *device)
{
    return (struct sim_device *)(void *)((char *)device - offsetof(struct sim_device, device));
}

static bool has_power(struct sim_power *power)
{
    if (!power->out && ++power->ops == power->cut_at)
        power->out = true;
    return !power->out;
}

static int sim_read(struct sl_ota_device *device, uint64_t offset, void *bytes, size_t size)
{
    struct sim_device *sim = sim_of(device);
    if (!has_power(sim->power))
        return -ENODEV;
    memcpy(bytes, sim->cache + offset, size);
    return 0;
}

// A write during which the power fails has reached the cache: the cut decides about its sectors.
static int sim_write(struct sl_ota_device *device, uint64_t offset, const void *bytes, size_t size)
{
    struct sim_device *sim = sim_of(device);
    if (sim->power->out || size == 0)
        return sim->power->out ? -ENODEV : 0;
    bool power = has_power(sim->power);
    memcpy(sim->cache + offset, bytes, size);
    for (uint64_t i = offset / SIM_SECTOR; i <= (offset + size - 1) / SIM_SECTOR; i++)
        sim->dirty[i] = true;
    if (sim->flip_in > 0 && --sim->flip_in == 0)
        sim->cache[offset + sim_random(sim->power) % size] ^=
            (uint8_t)(1u << sim_random(sim->power) % 8);
    return power ? 0 : -ENODEV;
}

static int sim_flush(struct sl_ota_device *device)
{
    struct sim_device *sim = sim_of(device);
    if (!has_power(sim->power))
        return -ENODEV;
    for (uint64_t i = 0; i < device->size / SIM_SECTOR; i++) {
        if (sim->dirty[i])
            memcpy(sim->medium + i * SIM_SECTOR, sim->cache + i * SIM_SECTOR, SIM_SECTOR);
        sim->dirty[i] = false;
    }
    return 0;
}

void sim_device_init(struct sim_device *sim, struct sim_power *power, uint64_t size, bool fragile)
{
    static const struct sl_ota_device_ops ops = {sim_read, sim_write, sim_flush};
    memset(sim, 0, sizeof *sim);
    sim->device = (struct sl_ota_device){&ops, size};
    sim->power = power;
    sim->fragile = fragile;
}

static void cut_sector(struct sim_device *sim, uint64_t index)
{
    uint8_t *kept = sim->medium + index * SIM_SECTOR;
    const uint8_t *written = sim->cache + index * SIM_SECTOR;
    uint64_t fate = sim_random(sim->power);
    size_t tear = 1 + fate / 16 % (SIM_SECTOR - 1);
    switch (fate % 4) {
    case 0:
        break;
    case 1:
        memcpy(kept, written, tear);
        break;
    case 2:
        memcpy(kept, written, tear);
        memset(kept + tear, (int)(fate >> 24 & 255), SIM_SECTOR - tear);
        break;
    default:
        memcpy(kept, written, SIM_SECTOR);
    }
}

void sim_device_cut(struct sim_device *sim)
{
    bool any = false;
    for (uint64_t i = 0; i < sim->device.size / SIM_SECTOR; i++) {
        if (sim->dirty[i])
            cut_sector(sim, i);
        any = any || sim->dirty[i];
        sim->dirty[i] = false;
    }
    if (any && sim->fragile && sim_random(sim->power) % 4 == 0)
        memset(sim->medium, (int)(sim_random(sim->power) & 255), sim->device.size);
    memcpy(sim->cache, sim->medium, sim->device.size);
}
