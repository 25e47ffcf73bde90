// Tensors that only rearrange feature maps: Reshape, Transpose, Gather, Slice and Concat that move
// whole planes (the last two dimensions) do nothing when they are met. Where somebody wants such a
// tensor, one step gathers its planes from wherever they were computed.
#include "accel/cpu/compile.h"

#include <stdlib.h>
#include <string.h>

struct plane {
    uint32_t tensor;  // that has a value
    uint32_t channel; // of it
};

struct cpu_planes {
    uint32_t count;
    struct plane list[];
};

static uint32_t count_planes(const struct sl_tensor *t)
{
    int64_t count = 1;
    for (uint32_t i = 0; i + 2 < t->rank; i++)
        count *= t->dims[i];
    return count > 0 && count <= 1 << 16 ? (uint32_t)count : 0;
}

static bool has_value(const struct cpu_compiler *c, uint32_t tensor)
{
    return cpu_has(c, tensor, CPU_PLAIN) || cpu_has(c, tensor, CPU_NHWC) || c->functions[tensor];
}

static bool has_planes(const struct cpu_compiler *c, uint32_t tensor)
{
    const struct sl_tensor *t = &c->graph->tensors[tensor];
    return c->planes[tensor] ||
           (has_value(c, tensor) && cpu_fits_nhwc(t) && t->dims[0] == 1 && count_planes(t) > 0);
}

static struct plane plane_of(const struct cpu_compiler *c, uint32_t tensor, uint32_t i)
{
    return c->planes[tensor] ? c->planes[tensor]->list[i] : (struct plane){tensor, i};
}

static bool same_size(const struct sl_tensor *a, const struct sl_tensor *b)
{
    return a->rank >= 3 && b->rank >= 3 && a->dims[a->rank - 1] == b->dims[b->rank - 1] &&
           a->dims[a->rank - 2] == b->dims[b->rank - 2];
}

// Does the node leave the last two dimensions alone?
static bool keeps_planes(const struct sl_node *node, const struct sl_tensor *x)
{
    uint32_t h = x->rank - 2, w = x->rank - 1;
    switch (node->op) {
    case SL_OP_RESHAPE:
        return true;
    case SL_OP_TRANSPOSE:
        return node->attrs.perm[h] == (int32_t)h && node->attrs.perm[w] == (int32_t)w;
    case SL_OP_SLICE:
        return node->attrs.slice.start[h] == 0 && node->attrs.slice.step[h] == 1 &&
               node->attrs.slice.start[w] == 0 && node->attrs.slice.step[w] == 1;
    case SL_OP_CONCAT:
    case SL_OP_GATHER:
        return sl_axis(node->attrs.axis, x->rank) < h;
    default:
        return false;
    }
}

static uint32_t data_inputs(const struct sl_node *node)
{
    return node->op == SL_OP_CONCAT ? node->n_inputs : 1;
}

static bool rearranges(const struct cpu_compiler *c, const struct sl_node *node)
{
    const struct sl_tensor *y = cpu_out(c, node);
    if (node->n_outputs != 1 || node->activation.kind != SL_ACT_NONE || count_planes(y) == 0)
        return false;
    for (uint32_t i = 0; i < data_inputs(node); i++) {
        const struct sl_tensor *x = cpu_in(c, node, i);
        if (!x || !same_size(x, y) || !keeps_planes(node, x) || x->dtype != y->dtype ||
            !sl_same_quant(x, y) || !has_planes(c, node->inputs[i]))
            return false;
    }
    for (uint32_t i = data_inputs(node); i < node->n_inputs; i++)
        if (cpu_in(c, node, i) && !cpu_in(c, node, i)->data)
            return false;
    return true;
}

// A tensor of numbers in the place of planes.
static struct sl_tensor as_numbers(const struct sl_tensor *t)
{
    struct sl_tensor numbers = {.name = t->name, .dtype = SL_I32, .rank = t->rank};
    memcpy(numbers.dims, t->dims, sizeof(numbers.dims));
    numbers.dims[t->rank - 2] = numbers.dims[t->rank - 1] = 1;
    numbers.bytes = (uint64_t)count_planes(t) * sizeof(int32_t);
    return numbers;
}

// Where each plane of the result comes from, as the interpreter says: it runs the node on the
// numbers of the planes. Plane k of operand i has the number first[i] + k.
static int trace(struct cpu_compiler *c, const struct sl_node *node, int32_t *from)
{
    uint32_t count = node->n_inputs + 1;
    struct sl_tensor *tensors = cpu_take(c, count, sizeof(*tensors));
    uint32_t *operands = cpu_take(c, count, sizeof(*operands));
    void **data = cpu_take(c, count, sizeof(*data));
    if (!tensors || !operands || !data)
        return cpu_no_memory(c);
    int32_t next = 0;
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        const struct sl_tensor *x = cpu_in(c, node, i);
        operands[i] = i;
        tensors[i] = i < data_inputs(node) ? as_numbers(x) : *x;
        data[i] = (void *)(uintptr_t)tensors[i].data;
        int32_t *numbers = i < data_inputs(node) ? cpu_take(c, count_planes(x), 4) : data[i];
        for (uint32_t k = 0; i < data_inputs(node) && numbers && k < count_planes(x); k++)
            numbers[k] = next++;
        data[i] = numbers;
        if (!numbers)
            return cpu_no_memory(c);
    }
    operands[count - 1] = count - 1;
    tensors[count - 1] = as_numbers(cpu_out(c, node));
    data[count - 1] = from;
    struct sl_node move = *node;
    move.inputs = operands;
    move.outputs = operands + count - 1;
    return sl_reference_run(tensors, &move, data, c->error);
}

int cpu_lower_planes(struct cpu_compiler *c, const struct sl_node *node)
{
    if (!rearranges(c, node))
        return 0;
    uint32_t count = count_planes(cpu_out(c, node));
    int32_t *from = cpu_take(c, count, sizeof(*from));
    struct cpu_planes *planes = cpu_take(c, 1, sizeof(*planes) + count * sizeof(struct plane));
    if (!from || !planes)
        return cpu_no_memory(c);
    int status = trace(c, node, from);
    planes->count = count;
    for (uint32_t k = 0; status == 0 && k < count; k++) {
        uint32_t operand = 0, number = (uint32_t)from[k];
        while (number >= count_planes(cpu_in(c, node, operand)))
            number -= count_planes(cpu_in(c, node, operand++));
        planes->list[k] = plane_of(c, node->inputs[operand], number);
    }
    if (status == 0)
        c->planes[node->outputs[0]] = planes;
    return status ? status : 1;
}

// In the place of a plane's tensor: it is computed where it is wanted.
#define IN_PLACE UINT32_MAX

// The sources of a list: each tensor once.
struct sources {
    uint32_t count;
    uint32_t *tensors, *values;
};

static int find_sources(struct cpu_compiler *c, const struct plane *list, uint32_t count,
                        enum cpu_layout layout, struct sources *s)
{
    *s = (struct sources){.tensors = cpu_take(c, count, sizeof(uint32_t)),
                          .values = cpu_take(c, count, sizeof(uint32_t))};
    if (!s->tensors || !s->values)
        return cpu_no_memory(c);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t k = 0;
        while (k < s->count && s->tensors[k] != list[i].tensor)
            k++;
        if (k < s->count || list[i].tensor == IN_PLACE)
            continue;
        s->tensors[s->count++] = list[i].tensor;
        int status = cpu_want(c, list[i].tensor, layout, &s->values[k]);
        if (status)
            return status;
    }
    return 0;
}

static uint32_t source_of(const struct sources *s, uint32_t tensor)
{
    uint32_t k = 0;
    while (s->tensors[k] != tensor)
        k++;
    return k;
}

// Plane by plane, in the plain layout.
struct copy_state {
    uint32_t y, count;
    size_t bytes; // of a plane
    const struct plane_copy {
        uint32_t value;
        size_t offset;
    } * copies;
};

static int run_copies(const struct cpu_program *program, const struct cpu_step *step, uint32_t part,
                      uint32_t parts, struct sl_error *error)
{
    const struct copy_state *s = step->state;
    unsigned char *y = cpu_data(program, s->y);
    int64_t end = cpu_share(s->count, part + 1, parts);
    (void)error;
    for (int64_t i = cpu_share(s->count, part, parts); i < end; i++) {
        const unsigned char *x = cpu_data(program, s->copies[i].value);
        memcpy(y + (size_t)i * s->bytes, x + s->copies[i].offset, s->bytes);
    }
    return 0;
}

static void use_all(struct cpu_compiler *c, const struct sources *s, uint32_t y)
{
    for (uint32_t i = 0; i < s->count; i++)
        cpu_use(c, s->values[i]);
    cpu_use(c, y);
}

static int gather_plain(struct cpu_compiler *c, uint32_t tensor, uint32_t *value)
{
    const struct cpu_planes *planes = c->planes[tensor];
    const struct sl_tensor *t = &c->graph->tensors[tensor];
    struct sources sources;
    struct copy_state *s = cpu_take(c, 1, sizeof(*s));
    struct plane_copy *copies = cpu_take(c, planes->count, sizeof(*copies));
    if (!s || !copies)
        return cpu_no_memory(c);
    int status = find_sources(c, planes->list, planes->count, CPU_PLAIN, &sources);
    if (status == 0)
        status = cpu_make(c, tensor, CPU_PLAIN, value);
    if (status)
        return status;
    *s = (struct copy_state){.y = *value,
                             .count = planes->count,
                             .bytes = (size_t)t->bytes / planes->count,
                             .copies = copies};
    for (uint32_t i = 0; i < planes->count; i++)
        copies[i] = (struct plane_copy){sources.values[source_of(&sources, planes->list[i].tensor)],
                                        planes->list[i].channel * s->bytes};
    struct cpu_step *step = cpu_add_step(c, t->name, "gather", s);
    if (!step)
        return cpu_no_memory(c);
    step->run = run_copies;
    use_all(c, &sources, *value);
    return 0;
}

// Pixels that are gathered together, so that what one group of channels leaves of a line of the
// cache the next one still finds there.
#define BLOCK 64

// Pixel by pixel, in NHWC: bytes by a kernel, larger values one by one.
struct gather_state {
    const struct cpu_kernels *kernels;
    uint32_t y, element, n_sources, channels;
    const uint32_t *values;
    const size_t *steps; // bytes from pixel to pixel of each source
    const struct cpu_gather_part *parts;
    uint32_t n_parts;
    const struct plane *planes; // `tensor` is the number of the source
    int64_t width;
    size_t y_step;
};

// Larger values one by one, in the order in which they are written.
static void gather_words(const struct gather_state *s, const struct cpu_gather *job)
{
    const uint32_t *x[CPU_MAX_SOURCES];
    uint32_t *y = (uint32_t *)(void *)job->y;
    for (uint32_t i = 0; i < s->n_sources; i++)
        x[i] = (const uint32_t *)(const void *)job->x[i];
    for (int64_t p = 0; p < job->pixels; p++, y += job->y_step / sizeof(*y)) {
        for (uint32_t i = 0; i < s->channels; i++)
            y[i] = x[s->planes[i].tensor][s->planes[i].channel];
        for (uint32_t i = 0; i < s->n_sources; i++)
            x[i] += job->x_steps[i] / sizeof(**x);
    }
}

static void run_gather(const struct cpu_program *program, const struct cpu_step *step,
                       uint32_t part, int64_t first, int64_t end)
{
    const struct gather_state *s = step->state;
    const uint8_t *x[CPU_MAX_SOURCES];
    (void)part;
    first *= s->width;
    for (uint32_t i = 0; i < s->n_sources; i++)
        x[i] = (const uint8_t *)cpu_data(program, s->values[i]) + (size_t)first * s->steps[i];
    struct cpu_gather job = {.x = x,
                             .x_steps = s->steps,
                             .parts = s->parts,
                             .n_parts = s->n_parts,
                             .pixels = end * s->width - first,
                             .y = (uint8_t *)cpu_data(program, s->y) + (size_t)first * s->y_step,
                             .y_step = s->y_step};
    for (int64_t left = job.pixels; left > 0; left -= job.pixels) {
        job.pixels = left < BLOCK ? left : BLOCK;
        if (s->element == sizeof(uint8_t))
            s->kernels->gather(&job);
        else
            gather_words(s, &job);
        for (uint32_t i = 0; i < s->n_sources; i++)
            x[i] += (size_t)job.pixels * s->steps[i];
        job.y += (size_t)job.pixels * s->y_step;
    }
}

// Sixteen output channels take from each group of sixteen input channels what a mask says.
static uint32_t make_parts(const struct plane *planes, uint32_t count,
                           struct cpu_gather_part *parts)
{
    uint32_t n = 0, group = 0; // group: first part of the present output group
    for (uint32_t i = 0; i < count; i++) {
        uint32_t offset = planes[i].channel / CPU_GRANULE * CPU_GRANULE, k;
        group = i % CPU_GRANULE == 0 ? n : group;
        if (planes[i].tensor == IN_PLACE)
            continue;
        for (k = group; k < n; k++)
            if (parts[k].source == planes[i].tensor && parts[k].offset == offset)
                break;
        if (k == n) {
            parts[n] = (struct cpu_gather_part){
                planes[i].tensor, offset, i / CPU_GRANULE * CPU_GRANULE, {0}};
            memset(parts[n++].mask, 0x80, sizeof(parts->mask));
        }
        parts[k].mask[i % CPU_GRANULE] = (uint8_t)(planes[i].channel % CPU_GRANULE);
    }
    return n;
}

// Do the planes from `first` on make up all channels of their tensor, in its own order?
static bool is_whole(const struct cpu_compiler *c, const struct cpu_planes *planes, uint32_t first)
{
    uint32_t tensor = planes->list[first].tensor;
    uint32_t channels = count_planes(&c->graph->tensors[tensor]);
    if (channels % CPU_GRANULE != 0 || first % CPU_GRANULE != 0 || channels > planes->count - first)
        return false;
    for (uint32_t i = 0; i < planes->count; i++) {
        bool inside = i >= first && i < first + channels;
        if (inside != (planes->list[i].tensor == tensor) ||
            (inside && planes->list[i].channel != i - first))
            return false;
    }
    return true;
}

// Does any tensor but `reader` take planes from this one, now or later?
static bool has_other_readers(const struct cpu_compiler *c, uint32_t tensor, uint32_t reader)
{
    if (c->readers[tensor] != 1)
        return true;
    for (uint32_t t = 0; t < c->graph->n_tensors; t++)
        for (uint32_t i = 0; t != reader && c->planes[t] && i < c->planes[t]->count; i++)
            if (c->planes[t]->list[i].tensor == tensor)
                return true;
    return false;
}

// The step that computes the tensor in NHWC and is the only one so far that uses its value; NULL: a
// step that cannot write elsewhere, or none.
static struct cpu_step *find_writer(struct cpu_compiler *c, uint32_t tensor)
{
    if (!cpu_has(c, tensor, CPU_NHWC))
        return NULL;
    const struct cpu_value *v = &c->program->values[c->value[CPU_NHWC][tensor]];
    if (v->place != CPU_IN_ARENA || v->first != v->last)
        return NULL;
    struct cpu_step *step = &c->program->steps[v->first];
    return step->write_into ? step : NULL;
}

// Bytes that nobody else wants are written where they are gathered, as far as their steps can.
// True: some are. Then no step that writes y runs in stripes, as its rows are complete only after
// several steps.
static bool write_in_place(struct cpu_compiler *c, uint32_t tensor, uint32_t y, struct plane *list)
{
    const struct cpu_planes *planes = c->planes[tensor];
    const struct sl_tensor *t = &c->graph->tensors[tensor];
    struct cpu_value *wide = &c->program->values[y];
    bool some = false;
    if (wide->place != CPU_IN_ARENA || !sl_is_8bit(t))
        return false;
    for (uint32_t i = 0; i < planes->count; i++) {
        uint32_t source = planes->list[i].tensor;
        struct cpu_step *step = is_whole(c, planes, i) ? find_writer(c, source) : NULL;
        if (!step || has_other_readers(c, source, tensor))
            continue;
        struct cpu_value *own = &c->program->values[c->value[CPU_NHWC][source]];
        uint32_t at = own->first;
        step->write_into(step, y, i, (size_t)cpu_round_channels(t->dims[1]));
        step->rows.y = y;
        step->rows.n_reads = 0;
        wide->first = at < wide->first ? at : wide->first;
        wide->last = at > wide->last ? at : wide->last;
        own->place = CPU_NOWHERE;
        c->value[CPU_NHWC][source] = CPU_NONE;
        for (uint32_t k = i; k < planes->count && planes->list[k].tensor == source; k++)
            list[k].tensor = IN_PLACE;
        some = true;
    }
    return some;
}

static int gather_nhwc(struct cpu_compiler *c, uint32_t tensor, uint32_t *value)
{
    const struct cpu_planes *planes = c->planes[tensor];
    const struct sl_tensor *t = &c->graph->tensors[tensor];
    uint32_t count = planes->count;
    struct sources sources;
    struct gather_state *s = cpu_take(c, 1, sizeof(*s));
    struct plane *list = cpu_take(c, count, sizeof(*list));
    struct cpu_gather_part *parts = cpu_take(c, count, sizeof(*parts));
    size_t *steps = cpu_take(c, count, sizeof(*steps));
    if (!s || !list || !parts || !steps)
        return cpu_no_memory(c);
    int status = cpu_make(c, tensor, CPU_NHWC, value);
    if (status)
        return status;
    memcpy(list, planes->list, count * sizeof(*list));
    bool in_place = write_in_place(c, tensor, *value, list);
    status = find_sources(c, list, count, CPU_NHWC, &sources);
    c->planes[tensor] = NULL; // from here on it has a value, and its parts perhaps have none
    if (status || sources.count == 0)
        return status;
    uint32_t element = sl_dtype_size(t->dtype);
    for (uint32_t i = 0; i < count; i++)
        if (list[i].tensor != IN_PLACE)
            list[i].tensor = source_of(&sources, list[i].tensor);
    for (uint32_t i = 0; i < sources.count; i++)
        steps[i] =
            (size_t)cpu_round_channels(c->graph->tensors[sources.tensors[i]].dims[1]) * element;
    *s = (struct gather_state){.kernels = c->kernels,
                               .y = *value,
                               .element = element,
                               .n_sources = sources.count,
                               .channels = count,
                               .values = sources.values,
                               .steps = steps,
                               .parts = parts,
                               .n_parts = make_parts(list, count, parts),
                               .planes = list,
                               .width = t->dims[3],
                               .y_step = (size_t)cpu_round_channels(t->dims[1]) * element};
    struct cpu_step *step = cpu_add_step(c, t->name, "gather", s);
    if (!step)
        return cpu_no_memory(c);
    step->run_rows = run_gather;
    use_all(c, &sources, *value);
    status = cpu_set_rows(c, step, *value, t->dims[2], sources.count);
    for (uint32_t i = 0; status == 0 && !in_place && i < sources.count; i++)
        cpu_read_rows(step, cpu_same_rows(sources.values[i]));
    return status;
}

static bool few_sources(const struct cpu_planes *planes)
{
    uint32_t changes = 0;
    for (uint32_t i = 1; i < planes->count; i++)
        changes += planes->list[i].tensor != planes->list[i - 1].tensor;
    return changes < CPU_MAX_SOURCES;
}

// The planes of one tensor in its own order: the same memory under another name.
static bool is_alias(const struct cpu_compiler *c, const struct cpu_planes *planes)
{
    uint32_t source = planes->list[0].tensor;
    if (planes->count != count_planes(&c->graph->tensors[source]))
        return false;
    for (uint32_t i = 0; i < planes->count; i++)
        if (planes->list[i].tensor != source || planes->list[i].channel != i)
            return false;
    return true;
}

int cpu_gather_planes(struct cpu_compiler *c, uint32_t tensor, enum cpu_layout layout,
                      uint32_t *value)
{
    const struct cpu_planes *planes = c->planes[tensor];
    const struct sl_tensor *t = &c->graph->tensors[tensor];
    if (layout == CPU_NHWC && cpu_fits_nhwc(t) && t->dims[0] == 1 && few_sources(planes))
        return gather_nhwc(c, tensor, value);
    if (!is_alias(c, planes))
        return gather_plain(c, tensor, value);
    int status = cpu_want(c, planes->list[0].tensor, CPU_PLAIN, value);
    c->value[CPU_PLAIN][tensor] = *value;
    return status;
}
