// Inside of accel/isolated: the device, shared by the table (isolated.c) and the keeper (keeper.c).
#ifndef SL_ACCEL_ISOLATED_DEVICE_H
#define SL_ACCEL_ISOLATED_DEVICE_H

#include "accel/inner.h"
#include "accel/isolated/child.h"
#include "accel/plugin.h"

#include <limits.h>
#include <pthread.h>
#include <stdbool.h>

struct iso_program {
    int network; // memfd
    size_t network_bytes;
    uint32_t n_inputs, n_tensors;
    struct sl_buffer buffers[ISO_TENSORS];
    bool submitted;
    uint64_t stuck; // generation of the child that may still write to the buffers; 0: none
    uint64_t bytes; // in the child
};

enum iso_state { ISO_STARTING, ISO_UP, ISO_DOWN, ISO_CLOSING };

struct iso_device {
    const struct sl_host *host;
    char inner[SL_CONFIG_MAX];
    char path[PATH_MAX], user[64];
    uint64_t memory_mib, start_ms;

    pthread_t keeper;
    int wake; // eventfd: look again
    pthread_mutex_t lock;
    pthread_cond_t changed; // CLOCK_MONOTONIC
    // Guarded by the lock. The child's socket is used by who has set `busy`, and by the keeper
    // while the state is STARTING.
    enum iso_state state;
    bool busy;
    bool failed;         // the last run of this child
    bool answered;       // this child has done a run
    uint64_t generation; // of the child, from 1
    uint64_t restarts;
    int start_status; // why it could not be started
    struct sl_error start_error;
    struct sl_device_health health;
    struct iso_program *programs[ISO_PROGRAMS];
    struct iso_child child;
};

// Starts the keeper and with it the first child; returns when that is up or cannot be.
int keeper_start(struct iso_device *device, struct sl_error *error);
void keeper_stop(struct iso_device *device);

// Waits until the child is up. -ENODEV with the cause if it is not by the deadline.
int keeper_await(struct iso_device *device, int64_t deadline_ns, struct sl_error *error);
// Takes the socket; to be given back. -ENODEV while the child is being replaced.
int keeper_enter(struct iso_device *device, struct sl_error *error);
// `broken`: the child is of no use any more; it is killed and replaced.
void keeper_leave(struct iso_device *device, bool broken);

int keeper_load(struct iso_device *device, uint32_t index, int64_t deadline_ns,
                struct sl_error *error);
int keeper_bind(struct iso_device *device, uint32_t program, uint32_t index, int64_t deadline_ns,
                struct sl_error *error);

#endif
