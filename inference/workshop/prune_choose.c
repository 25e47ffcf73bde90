// Which channels go: granule by granule, those first that cost least for what they save.
#include "inference/workshop/prune_impl.h"

#include "accel/tensor.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

// Slots that are computed by the same nodes: their number is the number of a tensor's channels, or
// a part of it, and comes in granules.
struct family {
    uint64_t key;
    uint32_t *slots; // still there, those first that cost least
    uint32_t count;
    uint32_t whole;
};

struct choice {
    struct prune_plan *plan;
    double *error; // per slot: on the network's outputs if it went
    struct family *families;
    uint32_t n_families;
};

static uint64_t mix(uint64_t z) // the finaliser of splitmix64
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

// A key of the set of tensors in which a slot's planes are computed.
static uint64_t *slot_keys(const struct channels *c)
{
    uint64_t *keys = calloc((uint64_t)c->n_slots + 1, sizeof(*keys));
    for (uint32_t t = 0; keys && t < c->graph->n_tensors; t++)
        for (uint32_t i = 0; !c->moved[t] && i < c->count[t]; i++)
            keys[channels_slot(c, t, i)] += mix(t + 1);
    return keys;
}

static int add_to_family(struct choice *choice, uint64_t key, uint32_t slot)
{
    uint32_t f = 0;
    while (f < choice->n_families && choice->families[f].key != key)
        f++;
    struct family *family = &choice->families[f];
    if (f == choice->n_families) {
        choice->n_families++;
        *family = (struct family){.key = key};
    }
    uint32_t *grown = realloc(family->slots, (family->count + 1ull) * sizeof(*grown));
    if (!grown)
        return -ENOMEM;
    family->slots = grown;
    family->slots[family->count++] = slot;
    family->whole = family->count;
    return 0;
}

static int find_families(struct choice *choice, struct sl_error *error)
{
    const struct channels *c = &choice->plan->channels;
    uint64_t *keys = slot_keys(c);
    choice->families = calloc((uint64_t)c->n_slots + 1, sizeof(*choice->families));
    int status = keys && choice->families ? 0 : -ENOMEM;
    for (uint32_t s = 0; s < c->n_slots && status == 0; s++)
        if (c->parent[s] == s && !c->fixed_by[s] && keys[s] != 0)
            status = add_to_family(choice, keys[s], s);
    free(keys);
    return status < 0 ? sl_error_set(error, status, "out of memory") : 0;
}

static int rate_by_error(struct choice *choice, struct sl_error *error)
{
    struct prune_plan *plan = choice->plan;
    for (uint32_t i = 0; i < plan->n_readers; i++) {
        struct prune_reader *r = &plan->readers[i];
        const int status = prune_rate(r, error);
        if (status < 0)
            return status;
        for (uint32_t c = 0; c < r->k / r->area; c++)
            choice->error[channels_slot(&plan->channels, r->input, c)] += r->effect * r->error[c];
    }
    return 0;
}

// The sum of the squares of the weights that compute a channel.
static void rate_by_magnitude(struct choice *choice)
{
    const struct graph *g = choice->plan->graph;
    for (uint32_t n = 0; n < g->n_nodes; n++) {
        const struct sl_node *node = &g->nodes[n];
        if (node->op != SL_OP_CONV || !graph_is_constant(g, node->inputs[1]) ||
            choice->plan->channels.count[node->outputs[0]] == 0)
            continue;
        const struct sl_tensor *w = &g->tensors[node->inputs[1]];
        const uint64_t each = (uint64_t)sl_dims_product(w, 1, w->rank);
        for (uint32_t o = 0; o < (uint32_t)w->dims[0]; o++)
            for (uint64_t k = 0; k < each; k++) {
                const double x = (double)((const float *)w->data)[o * each + k];
                choice->error[channels_slot(&choice->plan->channels, node->outputs[0], o)] += x * x;
            }
    }
}

static int by_error(const void *a, const void *b, void *ctx)
{
    const double *error = ctx;
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    if (error[x] != error[y])
        return error[x] < error[y] ? -1 : 1;
    return x < y ? -1 : x > y;
}

static int rate(struct choice *choice, struct sl_error *error)
{
    struct prune_plan *plan = choice->plan;
    int status = 0;
    memset(choice->error, 0, plan->channels.n_slots * sizeof(*choice->error));
    if (plan->options->importance == PRUNE_BY_MAGNITUDE)
        rate_by_magnitude(choice);
    else
        status = rate_by_error(choice, error);
    for (uint32_t f = 0; f < choice->n_families && status == 0; f++)
        qsort_r(choice->families[f].slots, choice->families[f].count, sizeof(uint32_t), by_error,
                choice->error);
    return status;
}

// How many go next, so that whole granules remain; 0: none may.
static uint32_t next_removal(const struct family *family, uint32_t granule)
{
    const uint32_t rest = family->count % granule;
    const uint32_t go = rest ? rest : granule;
    return family->count > go ? go : 0;
}

static void set_gone(struct channels *c, const struct family *family, uint32_t count, bool gone)
{
    for (uint32_t i = 0; i < count; i++)
        c->gone[family->slots[i]] = gone;
}

static double saving(struct choice *choice, const struct family *family, uint32_t count)
{
    struct prune_plan *plan = choice->plan;
    const double before = prune_total_cost(plan);
    set_gone(&plan->channels, family, count, true);
    const double after = prune_total_cost(plan);
    set_gone(&plan->channels, family, count, false);
    return before - after;
}

// The family whose next granule costs least for what it saves; NULL: there is none.
static struct family *cheapest(struct choice *choice)
{
    const uint32_t granule = choice->plan->report->granule;
    struct family *found = NULL;
    double least = INFINITY;
    for (uint32_t f = 0; f < choice->n_families; f++) {
        struct family *family = &choice->families[f];
        const uint32_t go = next_removal(family, granule);
        const double saved = go ? saving(choice, family, go) : 0;
        double lost = 0;
        for (uint32_t i = 0; i < go; i++)
            lost += choice->error[family->slots[i]];
        if (saved > 0 && (lost + 1e-30) / saved < least) {
            least = (lost + 1e-30) / saved;
            found = family;
        }
    }
    return found;
}

static int forget_slot(struct prune_plan *plan, uint32_t slot, struct sl_error *error)
{
    int status = 0;
    for (uint32_t i = 0; i < plan->n_readers; i++) {
        struct prune_reader *r = &plan->readers[i];
        for (uint32_t c = 0; c < r->k / r->area && status == 0; c++)
            if (channels_slot(&plan->channels, r->input, c) == slot)
                status = prune_forget(r, c, error);
    }
    return status;
}

static int remove_granule(struct choice *choice, struct family *family, struct sl_error *error)
{
    struct prune_plan *plan = choice->plan;
    const uint32_t go = next_removal(family, plan->report->granule);
    int status = 0;
    set_gone(&plan->channels, family, go, true);
    for (uint32_t i = 0; i < go && status == 0; i++)
        if (plan->options->importance == PRUNE_BY_ERROR)
            status = forget_slot(plan, family->slots[i], error);
    family->count -= go;
    memmove(family->slots, family->slots + go, family->count * sizeof(*family->slots));
    return status;
}

static int refuse(const struct choice *choice, double cost, double whole, struct sl_error *error)
{
    const struct channels *c = &choice->plan->channels;
    const char *because = "";
    for (uint32_t s = 0; s < c->n_slots; s++)
        if (c->parent[s] == s && c->fixed_by[s] &&
            strncmp(c->fixed_by[s], "the network's", 13) != 0)
            because = c->fixed_by[s];
    return sl_error_set(
        error, -ERANGE,
        "%.1f %% of the cost cannot go: with granules of %u channel%s %.1f %% is the most%s%s%s%s",
        100 * choice->plan->options->remove, choice->plan->report->granule,
        choice->plan->report->granule == 1 ? "" : "s", 100 * (1 - cost / whole),
        choice->plan->report->granule == 1 ? "" : "; a smaller granule gives more",
        *because ? "; channels at node '" : "", because,
        *because ? "' and others have to stay" : "");
}

static int remove_all(struct choice *choice, struct sl_error *error)
{
    struct prune_plan *plan = choice->plan;
    const double whole = prune_total_cost(plan), wanted = whole * (1 - plan->options->remove);
    int status = 0;
    for (double cost = whole; cost > wanted && status == 0; cost = prune_total_cost(plan)) {
        status = rate(choice, error);
        struct family *family = status == 0 ? cheapest(choice) : NULL;
        if (status == 0 && !family)
            return refuse(choice, cost, whole, error);
        if (status == 0)
            status = remove_granule(choice, family, error);
        prune_tell(plan, "choosing channels", (uint32_t)(1000 * (whole - cost) / (whole - wanted)),
                   1000);
    }
    return status;
}

int prune_choose(struct prune_plan *plan, struct sl_error *error)
{
    struct choice choice = {.plan = plan};
    choice.error = calloc((uint64_t)plan->channels.n_slots + 1, sizeof(*choice.error));
    int status = choice.error ? find_families(&choice, error)
                              : sl_error_set(error, -ENOMEM, "out of memory");
    if (status == 0 && choice.n_families == 0)
        status = sl_error_set(error, -ENOTSUP,
                              "no channel can go: all are read by operators that are not followed, "
                              "or are the network's inputs and outputs");
    if (status == 0)
        status = remove_all(&choice, error);
    for (uint32_t f = 0; f < choice.n_families; f++)
        free(choice.families[f].slots);
    free(choice.families);
    free(choice.error);
    return status;
}
