// What `sightline watch` knows of the cameras, and how it is shown. No terminal and no network.
#ifndef SL_PIPELINE_WATCH_TABLE_H
#define SL_PIPELINE_WATCH_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum { WATCH_CAMERAS = 16, WATCH_LINES = 12, WATCH_LINE = 512 };

struct watch_camera {
    char name[64], health[24], reasons[160];
    unsigned long parts, ok, ng, error;
    double latency_ms;
};

struct watch_table { // starts as zeros
    unsigned n_cameras;
    unsigned long n_lines; // ever added; the newest WATCH_LINES are kept
    struct watch_camera cameras[WATCH_CAMERAS];
    char lines[WATCH_LINES][WATCH_LINE];
};

// Takes what came on ROOT/CAMERA/LEAF: verdict, health or status. Returns true if it was a verdict,
// with its line (no line break) in `line`. Cameras beyond WATCH_CAMERAS get lines but no row. All
// text comes from strangers: the line holds no control characters and no broken UTF-8.
bool watch_table_take(struct watch_table *table, const char *camera, const char *leaf,
                      const char *payload, size_t size, char line[WATCH_LINE]);

// A row per camera, then the newest verdicts first.
void watch_table_print(const struct watch_table *table, FILE *out);

#endif
