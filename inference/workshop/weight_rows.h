// The constants of a convolution or product as a matrix, whatever the operator's layout.
#ifndef SL_INFERENCE_WORKSHOP_WEIGHT_ROWS_H
#define SL_INFERENCE_WORKSHOP_WEIGHT_ROWS_H

#include "accel/error.h"
#include "inference/graph.h"

#include <stdbool.h>
#include <stdint.h>

// Row i makes output channel i; column j reads input channel j / kernel area of the row's group, at
// kernel position j % area.
struct weight_rows {
    uint32_t m, k, groups; // m in all; k inputs of each
    float *values;         // [m][k], to be freed by the caller
};

// Convolution, transposed convolution or product with constant float weights of that form.
bool weight_rows_exist(const struct graph *graph, const struct sl_node *node);
int weight_rows_read(const struct graph *graph, const struct sl_node *node, struct weight_rows *out,
                     struct sl_error *error);
// Index into the tensor's layout of row i, column j.
uint64_t weight_rows_index(const struct graph *graph, const struct sl_node *node, uint32_t i,
                           uint32_t j);
// Gives the node new weights, and adds `bias_change` ([m], or NULL) to its bias, which it gets
// where it has none. A MatMul cannot have one: there the change is dropped.
int weight_rows_write(struct graph *graph, uint32_t node, const struct weight_rows *rows,
                      const float *bias_change, struct sl_error *error);

#endif
