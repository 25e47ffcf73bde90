// Inside of accel/isolated: the child process, seen by its parent.
#ifndef SL_ACCEL_ISOLATED_CHILD_H
#define SL_ACCEL_ISOLATED_CHILD_H

#include "accel/error.h"
#include "accel/isolated/message.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct iso_child {
    pid_t pid;
    int pidfd, socket;
    uint32_t number; // of the last message
};

struct iso_child_options {
    const char *program; // path of sightline-accel-host
    const char *user;    // "" for nobody
    uint32_t memory_mib;
};

// Starts the program. The calling thread must live as long as the child, which dies with it.
int child_start(struct iso_child *child, const struct iso_child_options *options,
                struct sl_error *error);

// Asks and awaits the answer, which is written into *message; its text is made printable. `fd` goes
// along unless it is -1. -ETIMEDOUT: no answer by the deadline; -EIO: the child is gone, or what it
// says is no answer. In both cases it is of no use any more. What the child itself reports is in
// message->status.
int child_ask(struct iso_child *child, struct iso_message *message, int fd, int64_t deadline_ns,
              struct sl_error *error);

void child_kill(const struct iso_child *child);
// Whether it has ended, waiting until the deadline; nothing of it runs or touches memory then.
bool child_ended(const struct iso_child *child, int64_t deadline_ns);
// Once it has ended: how, for people ("ended by signal 9").
void child_fate(const struct iso_child *child, char *text, size_t size);
// Waits for its end without limit, and forgets it.
void child_forget(struct iso_child *child);

#endif
