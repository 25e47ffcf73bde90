// Part logic: see part.h for the rules.
#include "pipeline/part.h"

#include "inference/model.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sl_part_logic {
    struct sl_part_settings settings;
    sl_part_verdict emit;
    void *ctx;
    bool open;
    bool camera_lost;
    char why_lost[96];
    uint64_t counter;    // for parts that nobody named
    int64_t deadline_ns; // of the open part
    int64_t watch_ns;    // free run with the camera lost: when the next ERROR is due
    uint32_t ng_frames, error_frames;
    float near[SL_MAX_CLASSES]; // of the open part
    struct sl_verdict part;
};

struct sl_part_logic *sl_part_logic_new(const struct sl_part_settings *settings,
                                        sl_part_verdict emit, void *ctx)
{
    struct sl_part_logic *logic = calloc(1, sizeof(*logic));
    if (!logic)
        return NULL;
    logic->settings = *settings;
    logic->emit = emit;
    logic->ctx = ctx;
    logic->watch_ns = INT64_MAX;
    return logic;
}

void sl_part_logic_free(struct sl_part_logic *logic)
{
    free(logic);
}

static void open_part(struct sl_part_logic *logic, const char *part_id, int64_t start_ns)
{
    struct sl_verdict *part = &logic->part;
    memset(part, 0, sizeof(*part));
    logic->counter++;
    if (part_id && *part_id)
        snprintf(part->part_id, sizeof(part->part_id), "%s", part_id);
    else
        snprintf(part->part_id, sizeof(part->part_id), "%llu", (unsigned long long)logic->counter);
    part->ts_mono_ns = start_ns;
    part->truth_defects = part->truth_found = part->truth_false = -1;
    logic->deadline_ns = start_ns + logic->settings.deadline_ns;
    logic->ng_frames = logic->error_frames = 0;
    memset(logic->near, 0, sizeof(logic->near));
    logic->open = true;
}

static void add_reason(struct sl_verdict *part, const char *text)
{
    for (uint32_t i = 0; i < part->n_reasons; i++)
        if (!strncmp(part->reasons[i], text, sizeof(part->reasons[i]) - 1))
            return;
    if (part->n_reasons < SL_VERDICT_MAX_REASONS)
        snprintf(part->reasons[part->n_reasons++], sizeof(part->reasons[0]), "%s", text);
}

// "short: 2" for every class found, in the order of the classes.
static void add_defect_reasons(const struct sl_part_logic *logic, struct sl_verdict *part)
{
    for (uint32_t c = 0; c < logic->settings.n_classes; c++) {
        uint32_t count = 0;
        char text[96];
        for (uint32_t i = 0; i < part->n_defects; i++)
            count += !strncmp(part->defects[i].class_name, logic->settings.class_names[c],
                              sizeof(part->defects[i].class_name) - 1);
        if (count == 0)
            continue;
        snprintf(text, sizeof(text), "%s: %u", logic->settings.class_names[c], count);
        add_reason(part, text);
    }
}

// By falling score.
static void add_near(struct sl_part_logic *logic)
{
    struct sl_verdict *part = &logic->part;
    while (part->n_near < SL_VERDICT_MAX_NEAR) {
        uint32_t best = 0;
        for (uint32_t c = 1; c < logic->settings.n_classes; c++)
            best = logic->near[c] > logic->near[best] ? c : best;
        if (logic->near[best] <= 0)
            return;
        snprintf(part->near[part->n_near].class_name, sizeof(part->near[0].class_name), "%s",
                 logic->settings.class_names[best]);
        part->near[part->n_near++].score = logic->near[best];
        logic->near[best] = 0;
    }
}

static void close_part(struct sl_part_logic *logic, int64_t now_ns)
{
    struct sl_verdict *part = &logic->part;
    const uint32_t good = part->frames - logic->ng_frames - logic->error_frames;
    const bool ng = logic->settings.majority ? logic->ng_frames > good : logic->ng_frames > 0;
    if (part->n_reasons > 0 || part->frames == 0) {
        part->result = SL_RESULT_ERROR;
    } else {
        part->result = ng ? SL_RESULT_NG : SL_RESULT_OK;
        if (ng)
            add_defect_reasons(logic, part);
    }
    add_near(logic);
    part->latency_ms = (float)(now_ns - part->ts_mono_ns) / 1e6f;
    logic->open = false;
    logic->emit(logic->ctx, part);
}

static void fail_part(struct sl_part_logic *logic, const char *why, int64_t now_ns)
{
    add_reason(&logic->part, why);
    close_part(logic, now_ns);
}

// A part whose deadline has passed is closed before anything else happens.
static void close_late(struct sl_part_logic *logic, int64_t now_ns)
{
    if (logic->open && now_ns >= logic->deadline_ns)
        fail_part(logic, logic->part.frames ? "late" : "no frame before the deadline", now_ns);
}

static void add_defects(const struct sl_part_logic *logic, struct sl_verdict *part,
                        const struct sl_detect_result *result)
{
    part->defects_total += result->count;
    for (uint32_t i = 0; i < result->count && part->n_defects < SL_VERDICT_MAX_DEFECTS; i++) {
        const struct sl_detection *d = &result->detections[i];
        struct sl_defect *out = &part->defects[part->n_defects++];
        const char *name = d->class_id < logic->settings.n_classes
                               ? logic->settings.class_names[d->class_id]
                               : "unknown";
        snprintf(out->class_name, sizeof(out->class_name), "%s", name);
        out->score = d->score;
        out->x1 = d->x1;
        out->y1 = d->y1;
        out->x2 = d->x2;
        out->y2 = d->y2;
    }
}

static void add_truth(struct sl_verdict *part, const struct sl_part_frame *frame)
{
    if (frame->truth_defects < 0)
        return;
    if (part->truth_defects < 0)
        part->truth_defects = part->truth_found = part->truth_false = 0;
    part->truth_defects += frame->truth_defects;
    part->truth_found += frame->truth_found;
    part->truth_false += frame->truth_false;
}

static void add_result(struct sl_part_logic *logic, const struct sl_part_frame *frame)
{
    struct sl_verdict *part = &logic->part;
    const struct sl_detect_result *r = frame->result;
    part->picture_width = frame->width;
    part->picture_height = frame->height;
    part->decode_ms = frame->decode_ms;
    if (r) {
        part->registered = r->registered;
        part->shift_x_px = r->registration.dx_px;
        part->shift_y_px = r->registration.dy_px;
        part->rotation_deg = r->registration.rotation_deg;
        part->registration_score = r->registration.score;
        part->registration_ms = r->timings.registration_us / 1e3f;
        part->inference_ms = r->timings.inference_us / 1e3f;
    }
    if (frame->status < 0 || !r) {
        logic->error_frames++;
        add_reason(part, frame->message && *frame->message ? frame->message : "not judged");
        return;
    }
    logic->ng_frames += r->count > 0;
    for (uint32_t c = 0; frame->near && c < logic->settings.n_classes; c++)
        logic->near[c] = fmaxf(logic->near[c], frame->near[c]);
    add_defects(logic, part, r);
    add_truth(part, frame);
}

int sl_part_logic_trigger(struct sl_part_logic *logic, const char *part_id, int64_t now_ns)
{
    close_late(logic, now_ns);
    if (!logic->settings.trigger)
        return -ENOTSUP;
    if (logic->open)
        return -EBUSY;
    open_part(logic, part_id, now_ns);
    if (logic->camera_lost)
        fail_part(logic, logic->why_lost, now_ns);
    return 0;
}

void sl_part_logic_frame(struct sl_part_logic *logic, const struct sl_part_frame *frame,
                         int64_t now_ns)
{
    close_late(logic, now_ns);
    if (!logic->open) {
        if (logic->settings.trigger)
            return; // nobody asked
        open_part(logic, frame->part_id, frame->capture_ns);
    } else if (frame->capture_ns < logic->part.ts_mono_ns) {
        return; // was under way before the trigger
    }
    logic->part.frames++;
    add_result(logic, frame);
    if (now_ns >= logic->deadline_ns)
        fail_part(logic, "late", now_ns);
    else if (logic->part.frames >= logic->settings.frames)
        close_part(logic, now_ns);
}

void sl_part_logic_camera(struct sl_part_logic *logic, bool present, const char *why,
                          int64_t now_ns)
{
    close_late(logic, now_ns);
    if (present) {
        logic->camera_lost = false;
        logic->watch_ns = INT64_MAX;
        return;
    }
    if (logic->camera_lost)
        return;
    logic->camera_lost = true;
    snprintf(logic->why_lost, sizeof(logic->why_lost), "camera lost: %s", why ? why : "unknown");
    if (logic->open)
        fail_part(logic, logic->why_lost, now_ns);
    if (!logic->settings.trigger)
        logic->watch_ns = now_ns;
}

void sl_part_logic_tick(struct sl_part_logic *logic, int64_t now_ns)
{
    close_late(logic, now_ns);
    if (now_ns < logic->watch_ns)
        return;
    // A line in free run keeps getting its answer: parts pass unseen. A part that a straggling
    // frame has opened is answered first.
    if (!logic->open)
        open_part(logic, NULL, now_ns);
    fail_part(logic, logic->why_lost, now_ns);
    logic->watch_ns = now_ns + logic->settings.deadline_ns;
}

bool sl_part_logic_is_open(const struct sl_part_logic *logic)
{
    return logic->open;
}

int64_t sl_part_logic_next_ns(const struct sl_part_logic *logic)
{
    if (logic->open && logic->deadline_ns < logic->watch_ns)
        return logic->deadline_ns;
    return logic->watch_ns;
}
