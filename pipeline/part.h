// Part logic: frames and triggers in, exactly one verdict per part out, before the deadline.
//
// Free of GStreamer and of clocks: the caller says what time it is, so that every order of events
// can be tested. States: idle, or a part open with 0 … frames-1 frames judged.
//
//   free run   every frame is a part of its own, or every `frames` frames together
//   trigger    a trigger opens a part; the next frames captured after it belong to it
//
// A part ends with its last frame, or at its deadline with ERROR. A frame that cannot be judged
// makes its part ERROR. A trigger while a part is open is refused (-EBUSY): the sender is told.
// In free run, no frame for `stall_ms` is one ERROR verdict per deadline period, so a line that
// waits for a verdict gets one.
#ifndef SL_PIPELINE_PART_H
#define SL_PIPELINE_PART_H

#include "inference/detect.h"
#include "mqtt/verdict.h"

#include <stdbool.h>
#include <stdint.h>

struct sl_part_settings {
    bool trigger;
    uint32_t frames;
    bool majority; // else one NG frame makes the part NG
    int64_t deadline_ns;
    const char *const *class_names; // for the defects; must outlive the logic
    uint32_t n_classes;
};

// One judged frame, or one that could not be judged (status < 0).
struct sl_part_frame {
    int64_t capture_ns;
    const char *part_id; // from the source, NULL if it does not know
    int status;
    const char *message;
    const struct sl_detect_result *result;
    const float *near; // best score of each class below its threshold; NULL: not known
    uint32_t width, height;
    float decode_ms;
    int32_t truth_defects, truth_found, truth_false; // −1: not known
};

struct sl_part_logic;
typedef void (*sl_part_verdict)(void *ctx, const struct sl_verdict *verdict);

// `emit` is called from within the functions below, once per part, with everything but camera,
// recipe, model, back end and wall time filled in.
struct sl_part_logic *sl_part_logic_new(const struct sl_part_settings *settings,
                                        sl_part_verdict emit, void *ctx);
void sl_part_logic_free(struct sl_part_logic *logic);

int sl_part_logic_trigger(struct sl_part_logic *logic, const char *part_id, int64_t now_ns);
void sl_part_logic_frame(struct sl_part_logic *logic, const struct sl_part_frame *frame,
                         int64_t now_ns);
// The camera is gone: an open part is ERROR at once, and so is every trigger until it is back.
void sl_part_logic_camera(struct sl_part_logic *logic, bool present, const char *why,
                          int64_t now_ns);
// To be called at `sl_part_logic_next_ns`; closes what is late.
void sl_part_logic_tick(struct sl_part_logic *logic, int64_t now_ns);
bool sl_part_logic_is_open(const struct sl_part_logic *logic);    // a part waits for more frames
int64_t sl_part_logic_next_ns(const struct sl_part_logic *logic); // INT64_MAX: nothing to wait for

#endif
