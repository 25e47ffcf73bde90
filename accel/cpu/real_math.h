// exp and what is made of it, in single precision: one sequence of operations for all variants, so
// that they agree bit for bit.
//
// exp(x) = 2^n exp(r) with n = round(x / ln 2) and r = x - n ln 2 in two steps (Cody and Waite),
// exp(r) by its Taylor polynomial of degree 7, whose error on |r| <= ln 2 / 2 is below 1e-8.
#ifndef SL_ACCEL_CPU_REAL_MATH_H
#define SL_ACCEL_CPU_REAL_MATH_H

#define EXP_LOW    (-87.0f) // below, the result is that of the bound: about 1.6e-38
#define EXP_HIGH   88.0f
#define LOG2_E     1.44269504f
#define LN2_COARSE 0.693359375f // few bits: n times it is exact
#define LN2_REST   (-2.12194440e-4f)
#define EXP_TERMS                                                                                  \
    {                                                                                              \
        1.0f / 5040, 1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f                 \
    }

#endif
