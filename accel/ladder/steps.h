// Inside of accel/ladder: the ladder, its steps and programs.
#ifndef SL_ACCEL_LADDER_STEPS_H
#define SL_ACCEL_LADDER_STEPS_H

#include "accel/inner.h"
#include "accel/tensors.h"

#include <pthread.h>
#include <stdbool.h>

#define LADDER_STEPS    8
#define LADDER_PROGRAMS 16
#define LADDER_TENSORS  64

enum step_state {
    STEP_READY,   // the caller's thread may use it
    STEP_WORKING, // its thread does a run
    STEP_LATE,    // its thread still does a run that nobody waits for
    STEP_BROKEN,  // its thread will try to mend it
    STEP_MENDING, // its thread is at it
    STEP_NEVER,   // cannot run this network
};

struct ladder_program {
    uint32_t index, n_inputs, n_tensors;
    struct sl_graph *graph; // in `network`
    void *network;
    size_t network_bytes;
    struct sl_tensors golden;            // made-up inputs and the last step's answer to them
    struct sl_tensors own[LADDER_STEPS]; // of each step: for checks, and for runs in its thread
    struct sl_buffer buffers[LADDER_TENSORS]; // the caller's
    int replaced[LADDER_TENSORS];             // memfds that stand in for the caller's; -1
    bool submitted;
    bool measured; // the last step has given its answer
};

struct ladder;
struct step {
    struct ladder *ladder;
    uint32_t index;
    char config[SL_CONFIG_MAX];
    char label[64];
    uint64_t deadline_ms; // 0: none
    pthread_t thread;
    bool has_thread;
    // Used by the caller's thread while READY, by the step's thread otherwise.
    struct sl_inner inner;
    bool punctual;
    void *programs[LADDER_PROGRAMS];
    // Guarded by the ladder's lock.
    enum step_state state;
    uint64_t strikes, pause_ms;
    int64_t retry_ns;
    int64_t worst_ns; // a run's time: the longest, slowly forgotten
    char reason[128];
    struct ladder_program *job;
    int64_t job_deadline_ns;
    int job_status;
    struct sl_error job_error;
};

struct ladder {
    const struct sl_host *host;
    uint64_t strikes, retry_ms, cross_check, tolerance_permille;
    uint32_t n_steps;
    struct step steps[LADDER_STEPS];
    struct ladder_program *programs[LADDER_PROGRAMS];
    uint64_t runs;
    pthread_mutex_t lock;
    pthread_cond_t changed; // CLOCK_MONOTONIC
    // Guarded by the lock.
    bool paused, closing;
    uint32_t actual; // step that answered last
    struct sl_standing standing;
};

static inline struct step *last_step(struct ladder *l)
{
    return &l->steps[l->n_steps - 1];
}

void ladder_say(struct ladder *ladder, int level, const struct step *step, const char *what,
                const char *cause);
void ladder_until(struct ladder *ladder, int64_t deadline_ns); // with the lock held
void ladder_copy(struct sl_buffer *to, const struct sl_buffer *from, uint32_t count);

// step.c. Opening and mending take seconds; run them where that is allowed.
int step_open(struct step *step, struct sl_error *error);
int step_prepare(struct step *step, struct ladder_program *program, struct sl_error *error);
int step_bind(struct step *step, struct ladder_program *program, struct sl_error *error);
void step_close(struct step *step);
int step_start(struct step *step, struct sl_error *error);
// Runs in the calling thread on the tensors that are bound. *going_on: they are still in use.
int step_run(struct step *step, struct ladder_program *program, int64_t deadline_ns, bool *going_on,
             struct sl_error *error);
// Takes it out, to be mended; with the lock held, which is let go for a moment to log.
void step_break(struct step *step, const char *cause);
// Waits until no step's thread works, and keeps it so until ladder_resume. False: one does not end.
bool ladder_pause(struct ladder *ladder, int64_t deadline_ns);
void ladder_resume(struct ladder *ladder);

// golden.c
void golden_fill(const struct sl_graph *graph, struct sl_tensors *golden);
// Whether the outputs agree within the tolerance; the message says where they do not.
int golden_compare(const struct sl_graph *graph, const struct sl_buffer *outputs,
                   const struct sl_buffer *expected, uint64_t tolerance_permille,
                   struct sl_error *error);

// frame.c
int ladder_frame(struct ladder *ladder, struct ladder_program *program, int64_t deadline_ns,
                 struct sl_error *error);

#endif
