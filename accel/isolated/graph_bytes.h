// A network description as one block of bytes that can be mapped by another process of the same
// build: tables with offsets in place of pointers, and the contents of constants at offsets that
// are multiples of 64.
#ifndef SL_ACCEL_ISOLATED_GRAPH_BYTES_H
#define SL_ACCEL_ISOLATED_GRAPH_BYTES_H

#include "accel/error.h"
#include "accel/graph.h"

#include <stddef.h>
#include <stdint.h>

// A memfd with write and size sealed. `graph` has passed sl_graph_check.
int graph_bytes_write(const struct sl_graph *graph, int *fd, size_t *size, struct sl_error *error);

// The description in `bytes`, which must stay and be aligned to 64; nothing in it is trusted, and
// the result has passed sl_graph_check. Free with graph_bytes_free. -EINVAL: malformed.
int graph_bytes_read(const void *bytes, size_t size, struct sl_graph **out, struct sl_error *error);
void graph_bytes_free(struct sl_graph *graph);

#endif
