// Shared by the parts of the registration.
#ifndef SL_INFERENCE_REGISTER_INTERNAL_H
#define SL_INFERENCE_REGISTER_INTERNAL_H

#include "inference/register.h"

#include <fftw3.h>
#include <stdbool.h>

enum { LEVELS = 4, ANGLES = 5 }; // level k is reduced 2^k times
#define COARSE 2                 // the level of the phase correlation

// The reference lies at R(angle) p + (x, y), p and x, y in full pixels from the centre.
struct pose {
    float x, y, angle;
};

struct point {        // a place on the reference with a strong gradient
    float x, y;       // level pixels from the centre
    float value;      // grey
    float gx, gy, gr; // change of the grey value with x, y and the angle
};

struct points {
    uint32_t count, capacity;
    struct point *at;
    float *sample; // what the picture shows there; scratch
};

struct level {
    uint32_t width, height;
    uint8_t *reference, *picture;
    struct points points;
};

struct phase { // phase correlation at level COARSE
    uint32_t width, height;
    float *window, *real;
    fftwf_complex *picture, *product;
    fftwf_complex *reference[ANGLES];
    bool prepared[ANGLES];
    fftwf_plan forward, inverse;
};

struct sl_register {
    struct level levels[LEVELS];
    struct phase phase;
    bool has_reference;
};

extern const float phase_angle_deg[ANGLES]; // the hypotheses; 0 first

int phase_new(struct phase *phase, uint32_t width, uint32_t height, struct sl_error *error);
void phase_free(struct phase *phase);
void phase_set_picture(struct phase *phase, const uint8_t *picture);
void phase_forget_reference(struct phase *phase);
// Shift in pixels of the level under hypothesis `index`, and how much the peak stands out.
float phase_correlate(struct phase *phase, const uint8_t *reference, int index, float *x, float *y);

// Strong gradients of a level's reference.
void points_choose(struct points *points, const struct level *level);
// Improves `pose` on one level; false if there is nothing to hold on to.
bool refine(struct level *level, uint32_t reduction, int iterations, struct pose *pose);
// Correlation coefficient of picture and moved reference.
float refine_score(const struct level *level, uint32_t reduction, const struct pose *pose);

#endif
