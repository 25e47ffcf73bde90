// Progress of long work on a terminal: what is done, how much of it, and how long it will take.
#ifndef SL_INFERENCE_WORKSHOP_PROGRESS_H
#define SL_INFERENCE_WORKSHOP_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
    bool shown; // standard error is a terminal and nobody asked for silence
    int64_t started_ms, step_ms, last_ms;
    char what[64];
};

void progress_begin(struct progress *progress, bool quiet);
// A `workshop_progress`; ctx is the struct progress.
void progress_step(void *ctx, const char *what, uint32_t done, uint32_t total);
// Clears the line; returns the seconds since begin.
double progress_end(struct progress *progress);

#endif
