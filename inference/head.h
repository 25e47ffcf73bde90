// Heads: the network's raw outputs become candidate boxes in pixels of the network's input.
//
// A detector family is one row of a table in head.c with its functions in head_*.c: how its outputs
// are checked at load, and how they are decoded. Formulas:
//   centre   one grid per stride: class logits (1, C, h, w) and distances left, top, right, bottom
//            in cells (1, 4, h, w); a cell counts if it is the highest of its window
//   yolox    (1, N, 5 + C): centre and log size on the grid, objectness and classes as
//   probabilities
//            (Ge et al., "YOLOX", 2021; the published exports without decoding)
//   yolov5   (1, N, 5 + C) decoded to pixels, or one raw map per stride (1, A (5 + C), h, w) or
//            (1, A, h, w, 5 + C) with anchors (Ultralytics YOLOv5 v6)
//   yolov8   (1, 4 + C, N) decoded to pixels, or one raw map per stride (1, 4 R + C, h, w) with
//            distance distributions of R bins (Li et al., "Generalized Focal Loss", 2020)
//   fastestdet (1, 5 + C, h, w): objectness, box and classes, the first and last as probabilities;
//            or the three as logits in outputs of their own. Centre cell + tanh, size sigmoid of
//            the input's, score objectness^0.6 class^0.4 (FastestDet by dog-qiuqiu)
#ifndef SL_INFERENCE_HEAD_H
#define SL_INFERENCE_HEAD_H

#include "inference/detect.h"

// Candidates by falling score, bounded: when full the weakest goes.
#define SL_MAX_CANDIDATES 1024
struct sl_candidates {
    uint32_t count, limit;
    struct sl_detection rows[SL_MAX_CANDIDATES];
};

struct sl_head;

// Checks that the model's outputs have the shapes that its head needs; the message names the
// output, the expected and the found shape.
int sl_head_new(const struct sl_model *model, struct sl_head **out, struct sl_error *error);
void sl_head_free(struct sl_head *head);

// `outputs[i]` is the float data of the i-th output that the model's head names. Only candidates
// with a score of at least `floor` are added; values that are not finite never are. Allocates
// nothing.
void sl_head_decode(struct sl_head *head, const float *const *outputs, float floor,
                    struct sl_candidates *candidates);

// Adds one candidate in order.
void sl_candidates_add(struct sl_candidates *candidates, const struct sl_detection *candidate);

// Greedy suppression: drops what overlaps a stronger box by more than `iou`.
void sl_candidates_suppress(struct sl_candidates *candidates, float iou, bool per_class);

// Intersection over union of two boxes; 0 where either is empty.
float sl_box_overlap(const struct sl_detection *a, const struct sl_detection *b);

#endif
