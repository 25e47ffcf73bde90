// The verdict record: what is known about one judged part. Plain data with a fixed meaning per
// field; the JSON payload (and later ledger, CSV, Sparkplug) are writers of this one record.
#ifndef SL_MQTT_VERDICT_H
#define SL_MQTT_VERDICT_H

#include <stdbool.h>
#include <stdint.h>

#define SL_VERDICT_SCHEMA      1
#define SL_VERDICT_MAX_DEFECTS 64
#define SL_VERDICT_MAX_REASONS 4
#define SL_VERDICT_MAX_NEAR    8

enum sl_result { SL_RESULT_OK = 1, SL_RESULT_NG, SL_RESULT_ERROR };
enum sl_clock { SL_CLOCK_UNSYNCED = 1, SL_CLOCK_HOLDOVER, SL_CLOCK_SYNCED };

struct sl_defect {
    char class_name[32];
    float score;          // 0 … 1
    float x1, y1, x2, y2; // pixels of the picture
};

// Several hundred bytes, copied by value through queues; no pointers, so nobody owns anything.
struct sl_verdict {
    uint64_t seq; // one more for every verdict of this camera; 0 until the publisher gives it
    char camera[64];
    char part_id[64]; // from the trigger, the source, or counted
    char job_id[64]; // what is being made, told with the recipe; empty: nobody did
    char recipe[64];
    char model[64]; // name and version
    char backend[64];
    char crop[24];   // name of its picture; empty: there is none
    uint32_t result; // enum sl_result
    uint32_t n_reasons;
    char reasons[SL_VERDICT_MAX_REASONS][96]; // why NG or ERROR: "short: 2", "late", "camera lost"
    uint32_t n_defects;                       // in `defects`; `defects_total` may be more
    uint32_t defects_total;
    struct sl_defect defects[SL_VERDICT_MAX_DEFECTS];
    // The best score of each class below its threshold, highest first; nothing is known of scores
    // below `near_floor`.
    float near_floor;
    uint32_t n_near;
    struct {
        char class_name[32];
        float score;
    } near[SL_VERDICT_MAX_NEAR];
    uint32_t picture_width, picture_height;
    uint32_t frames; // judged for this part
    int64_t ts_utc_ms;
    int64_t ts_mono_ns; // capture of the first frame, or trigger, CLOCK_MONOTONIC
    uint32_t clock;     // enum sl_clock
    float latency_ms;   // from capture (or trigger) until the verdict was made
    bool registered;
    float shift_x_px, shift_y_px, rotation_deg, registration_score;
    float decode_ms, registration_ms, inference_ms;
    // Where the source knows the truth (simulated line, labelled pictures): −1 unknown, else the
    // number of real defects, and how many of them were found and how many reports were false.
    int32_t truth_defects, truth_found, truth_false;
};

const char *sl_result_name(uint32_t result); // "ok", "ng", "error"

#endif
