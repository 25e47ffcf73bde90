// Least squares on OpenBLAS and LAPACK.
#include "inference/workshop/linear.h"

#include <cblas.h>
#include <errno.h>
#include <lapacke.h>
#include <stdlib.h>
#include <string.h>

void linear_gram(float *h, size_t k, const float *x, size_t rows)
{
    cblas_ssyrk(CblasRowMajor, CblasUpper, CblasTrans, (int)k, (int)rows, 1, x, (int)k, 1, h,
                (int)k);
    for (size_t i = 1; i < k; i++)
        for (size_t j = 0; j < i; j++)
            h[i * k + j] = h[j * k + i];
}

void linear_cross(float *c, size_t m, size_t k, const float *y, const float *x, size_t rows)
{
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)m, (int)k, (int)rows, 1, y, (int)m, x,
                (int)k, 1, c, (int)k);
}

void linear_apply(float *y, const float *x, size_t rows, size_t k, const float *w, size_t m)
{
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)rows, (int)m, (int)k, 1, x, (int)k, w,
                (int)k, 0, y, (int)m);
}

void linear_subtract(float *y, size_t k, const float *a, const float *x, size_t n)
{
    if (n == 1)
        cblas_saxpy((int)k, -a[0], x, 1, y, 1);
    else if (n > 0)
        cblas_sgemv(CblasRowMajor, CblasTrans, (int)n, (int)k, -1, x, (int)k, a, 1, 1, y, 1);
}

void linear_scale(float *y, size_t k, float factor)
{
    cblas_sscal((int)k, factor, y, 1);
}

// Sums of float products are accurate enough to be collected; their inversion is not.
static double *damped_copy(const float *h, size_t k, float ridge)
{
    double *a = malloc(k * k * sizeof(*a));
    for (size_t i = 0; a && i < k * k; i++)
        a[i] = (double)h[i];
    for (size_t i = 0; a && i < k; i++)
        a[i * k + i] += (double)ridge;
    return a;
}

static int refuse(struct sl_error *error, size_t k)
{
    return sl_error_set(error, -EDOM,
                        "the %zu x %zu normal equations have no solution: the calibration pictures "
                        "do not excite all inputs",
                        k, k);
}

int linear_solve(const float *h, size_t k, float ridge, const float *c, size_t m, float *w,
                 struct sl_error *error)
{
    double *a = damped_copy(h, k, ridge), *b = malloc(m * k * sizeof(*b));
    int status = a && b ? 0 : sl_error_set(error, -ENOMEM, "out of memory");
    for (size_t i = 0; status == 0 && i < m * k; i++)
        b[i] = (double)c[i];
    // Row-major c [m][k] is column-major [k][m]: one right-hand side per output.
    if (status == 0 &&
        LAPACKE_dposv(LAPACK_COL_MAJOR, 'L', (int)k, (int)m, a, (int)k, b, (int)k) != 0)
        status = refuse(error, k);
    for (size_t i = 0; status == 0 && i < m * k; i++)
        w[i] = (float)b[i];
    free(a);
    free(b);
    return status;
}

int linear_inverse_factor(const float *h, size_t k, float ridge, float *u, struct sl_error *error)
{
    double *a = damped_copy(h, k, ridge);
    int status = a ? 0 : sl_error_set(error, -ENOMEM, "out of memory");
    // Column-major 'L' is row-major upper: all in place.
    if (status == 0 && (LAPACKE_dpotrf(LAPACK_COL_MAJOR, 'L', (int)k, a, (int)k) != 0 ||
                        LAPACKE_dpotri(LAPACK_COL_MAJOR, 'L', (int)k, a, (int)k) != 0 ||
                        LAPACKE_dpotrf(LAPACK_COL_MAJOR, 'L', (int)k, a, (int)k) != 0))
        status = refuse(error, k);
    for (size_t i = 0; status == 0 && i < k; i++)
        for (size_t j = 0; j < k; j++)
            u[i * k + j] = j < i ? 0 : (float)a[i * k + j];
    free(a);
    return status;
}

int linear_invert_small(double *a, size_t k)
{
    if (LAPACKE_dpotrf(LAPACK_COL_MAJOR, 'L', (int)k, a, (int)k) != 0 ||
        LAPACKE_dpotri(LAPACK_COL_MAJOR, 'L', (int)k, a, (int)k) != 0)
        return -EDOM;
    for (size_t i = 0; i < k; i++) // the other triangle
        for (size_t j = 0; j < i; j++)
            a[i * k + j] = a[j * k + i];
    return 0;
}

int linear_inverse(const float *h, size_t k, float ridge, double *inverse, struct sl_error *error)
{
    for (size_t i = 0; i < k * k; i++)
        inverse[i] = (double)h[i];
    for (size_t i = 0; i < k; i++)
        inverse[i * k + i] += (double)ridge;
    return linear_invert_small(inverse, k) == 0 ? 0 : refuse(error, k);
}

int linear_correct(const float *h, const float *cross, size_t k, float pull, const float *w,
                   size_t m, float *out, struct sl_error *error)
{
    float *right = malloc(m * k * sizeof(*right) + 1);
    if (!right)
        return sl_error_set(error, -ENOMEM, "out of memory");
    linear_apply(right, w, m, k, cross, k);
    cblas_saxpy((int)(m * k), pull, w, 1, right, 1);
    const int status = linear_solve(h, k, pull, right, m, out, error);
    free(right);
    return status;
}
