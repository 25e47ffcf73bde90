// One line on the terminal, rewritten a few times a second.
#include "inference/workshop/progress.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { WIDTH = 24, LEAST_MS = 200 };

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void progress_begin(struct progress *p, bool quiet)
{
    *p = (struct progress){.shown = !quiet && isatty(STDERR_FILENO), .started_ms = now_ms()};
}

void progress_step(void *ctx, const char *what, uint32_t done, uint32_t total)
{
    static const char full[] = "########################", empty[] = "........................";
    struct progress *p = ctx;
    const int64_t now = now_ms();
    if (!p->shown || total == 0)
        return;
    if (strcmp(p->what, what) != 0) {
        snprintf(p->what, sizeof(p->what), "%s", what);
        p->step_ms = now;
    } else if (now - p->last_ms < LEAST_MS && done < total) {
        return;
    }
    const int marks = (int)((uint64_t)WIDTH * done / total);
    const double left_s =
        done ? (double)(now - p->step_ms) / 1e3 * (double)(total - done) / (double)done : 0;
    fprintf(stderr, "\r\033[K%-18s [%.*s%.*s] %u of %u", what, marks, full, WIDTH - marks, empty,
            done, total);
    if (left_s >= 1)
        fprintf(stderr, ", %.0f s left", left_s);
    fflush(stderr);
    p->last_ms = now;
}

double progress_end(struct progress *p)
{
    if (p->shown)
        fputs("\r\033[K", stderr);
    return (double)(now_ms() - p->started_ms) / 1e3;
}
