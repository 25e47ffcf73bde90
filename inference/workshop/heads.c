// Finding a detector's heads.
#include "inference/workshop/heads.h"

#include <errno.h>
#include <stdlib.h>

int heads_find(const struct graph *g, uint32_t *out, uint32_t *count, uint32_t most,
               struct sl_error *error)
{
    bool *leads = calloc(g->n_tensors + 1ull, sizeof(*leads));
    int status = leads ? 0 : sl_error_set(error, -ENOMEM, "out of memory");
    *count = 0;
    for (uint32_t i = 0; leads && i < g->n_outputs; i++)
        leads[g->outputs[i]] = true;
    for (uint32_t n = g->n_nodes; n-- > 0 && status == 0;) {
        const struct sl_node *node = &g->nodes[n];
        if (node->op == SL_OP_NONE || node->n_outputs == 0 || !leads[node->outputs[0]])
            continue;
        if (node->op == SL_OP_CONV && g->tensors[node->outputs[0]].rank == 4) {
            if (*count == most)
                status = sl_error_set(error, -ENOSPC, "more than %u heads", most);
            else
                out[(*count)++] = node->outputs[0];
            continue;
        }
        for (uint32_t i = 0; i < node->n_inputs; i++)
            if (node->inputs[i] != SL_NO_TENSOR)
                leads[node->inputs[i]] = true;
    }
    free(leads);
    return status;
}
