// What a change to a network means for what its detector finds: the float network's detections on
// pictures that nothing was fitted to are the truth, and the share of them that a changed network
// moves, loses or adds is its error. Labels are not needed.
#ifndef SL_INFERENCE_WORKSHOP_JUDGE_H
#define SL_INFERENCE_WORKSHOP_JUDGE_H

#include "inference/workshop/calibration.h"

struct judge;

// Every fourth picture of the calibration is a judge's, where there are at least eight; else all.
bool judge_is_held(const struct calibration *calibration, uint32_t picture);

// `graph` is the float network; its detections on the judge's pictures are kept. The calibration
// must outlive the judge.
int judge_new(const struct sl_model *model, const struct graph *graph,
              const struct calibration *calibration, struct judge **out, struct sl_error *error);
void judge_free(struct judge *judge); // NULL is fine

// 0: the same detections; 1: as bad as finding nothing; more with false ones. Detections meet their
// strongest counterpart of the same class with an overlap of at least a half. A pair counts its
// difference in score and in place, one without counterpart counts whole; all weighted by the
// square of the score. `graph` has the outputs of the float one.
int judge_error(struct judge *judge, const struct graph *graph, double *out,
                struct sl_error *error);

#endif
