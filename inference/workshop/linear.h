// Least squares and what it needs, on OpenBLAS and LAPACK. All matrices are row-major.
#ifndef SL_INFERENCE_WORKSHOP_LINEAR_H
#define SL_INFERENCE_WORKSHOP_LINEAR_H

#include "accel/error.h"

#include <stddef.h>

// h [k][k] += xT x, for x [rows][k]. Both triangles are kept.
void linear_gram(float *h, size_t k, const float *x, size_t rows);

// c [m][k] += yT x, for y [rows][m] and x [rows][k].
void linear_cross(float *c, size_t m, size_t k, const float *y, const float *x, size_t rows);

// y [rows][m] = x [rows][k] wT, for w [m][k].
void linear_apply(float *y, const float *x, size_t rows, size_t k, const float *w, size_t m);

// y [k] -= a [n] x, for x [n][k].
void linear_subtract(float *y, size_t k, const float *a, const float *x, size_t n);
void linear_scale(float *y, size_t k, float factor);

// Solves w (h + ridge I) = c for w [m][k]: the weights with the least squared error whose normal
// equations are h and c. `ridge` is absolute. -EDOM if h + ridge I is not positive definite.
int linear_solve(const float *h, size_t k, float ridge, const float *c, size_t m, float *w,
                 struct sl_error *error);

// out [m][k] = argmin |w x - out x'|^2 + pull |out - w|^2: weights that make up for inputs x' which
// are not what they were. h: normal equations of x'; cross [k][k] = x'T x. `pull` is absolute.
int linear_correct(const float *h, const float *cross, size_t k, float pull, const float *w,
                   size_t m, float *out, struct sl_error *error);

// u [k][k], upper triangular, with uT u = inverse(h + ridge I): what the rounding of one weight
// means for the best values of those after it (Frantar and Alistarh, "Optimal Brain Compression",
// NeurIPS 2022; Frantar et al., "GPTQ", ICLR 2023).
int linear_inverse_factor(const float *h, size_t k, float ridge, float *u, struct sl_error *error);

// inverse [k][k] of h + ridge I. -EDOM as above.
int linear_inverse(const float *h, size_t k, float ridge, double *inverse, struct sl_error *error);

// Inverts a symmetric positive definite matrix in place; -EDOM if it is not.
int linear_invert_small(double *a, size_t k);

#endif
