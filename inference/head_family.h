// Inside of the heads: what the detector families share.
#ifndef SL_INFERENCE_HEAD_FAMILY_H
#define SL_INFERENCE_HEAD_FAMILY_H

#include "inference/head.h"

struct map { // one stride's grid
    int64_t height, width;
    float stride;
};

struct sl_head {
    const struct sl_model *model;
    const struct family *family;
    uint32_t n_maps;
    struct map maps[SL_MAX_STRIDES];
    const struct sl_tensor *tensors[SL_MAX_OUTPUTS];
    bool decoded; // yolov5, yolov8: one output in pixels; fastestdet: probabilities
    bool last;    // yolov5 raw: the 5 + C values stand last
    int64_t bins; // yolov8 raw
    float *best;  // centre: highest logit of each cell, and its class
    uint32_t *which;
};

struct family {
    const char *name;
    int (*check)(struct sl_head *head, struct sl_error *error);
    void (*decode)(struct sl_head *head, const float *const *outputs, float floor,
                   struct sl_candidates *candidates);
};

// `check` looks at the shapes of head->tensors and remembers their form, `decode` adds candidates.
int centre_check(struct sl_head *head, struct sl_error *error);
void centre_decode(struct sl_head *head, const float *const *outputs, float floor,
                   struct sl_candidates *candidates);
int yolox_check(struct sl_head *head, struct sl_error *error);
void yolox_decode(struct sl_head *head, const float *const *outputs, float floor,
                  struct sl_candidates *candidates);
int yolov5_check(struct sl_head *head, struct sl_error *error);
void yolov5_decode(struct sl_head *head, const float *const *outputs, float floor,
                   struct sl_candidates *candidates);
int yolov8_check(struct sl_head *head, struct sl_error *error);
void yolov8_decode(struct sl_head *head, const float *const *outputs, float floor,
                   struct sl_candidates *candidates);
int fastestdet_check(struct sl_head *head, struct sl_error *error);
void fastestdet_decode(struct sl_head *head, const float *const *outputs, float floor,
                       struct sl_candidates *candidates);

float head_sigmoid(float x);
// The logit whose sigmoid is p, a little lower so that rounding never loses a candidate.
float head_logit(float p);
// The best class of `count` scores `step` apart.
uint32_t head_best_of(const float *scores, uint32_t count, int64_t step, float *best);
void head_add_centred(struct sl_candidates *candidates, float x, float y, float width, float height,
                      float score, uint32_t class_id);

int64_t head_cells(const struct sl_head *head);
bool head_has_dims(const struct sl_tensor *t, uint32_t rank, const int64_t *dims);
// -EINVAL with the output, the expected and the found shape.
int head_refuse_shape(const struct sl_head *head, uint32_t output, struct sl_error *error,
                      const char *expected);

#endif
