// The check that every network description passes before a back end sees it.
#ifndef SL_ACCEL_GRAPH_CHECK_H
#define SL_ACCEL_GRAPH_CHECK_H

#include "accel/error.h"
#include "accel/graph.h"

// Limits. One tensor, and all tensors together; generous for any network that runs on a camera.
#define SL_GRAPH_MAX_TENSOR_BYTES ((uint64_t)1 << 31)
#define SL_GRAPH_MAX_BYTES        ((uint64_t)1 << 32)
#define SL_GRAPH_MAX_TENSORS      ((uint32_t)1 << 18)
#define SL_GRAPH_MAX_NODES        ((uint32_t)1 << 17)
#define SL_GRAPH_MAX_CHANNELS     ((int64_t)1 << 20) // scales of one tensor

// -EINVAL: malformed (the message names the tensor or node); -ENOTSUP: another version, or an
// operator or type that is not known; -E2BIG: beyond a limit above. What passes:
// - tensors have known types, dimensions >= 0 whose product does not overflow, `bytes` that agree,
//   scales that are finite and > 0, zero points within the type;
// - nodes refer to existing tensors, read only what is constant, an input of the graph or written
//   by an earlier node (so there are no cycles), and write what nobody else writes;
// - every node satisfies its operator's rules (operator.h);
// - inputs of the graph have no contents, outputs are written or constant.
int sl_graph_check(const struct sl_graph *graph, struct sl_error *error);

#endif
