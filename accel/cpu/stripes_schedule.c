// Which rows every step of a group computes in every stripe, and which are kept for later ones.
#include "accel/cpu/stripes.h"

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static const struct cpu_rows *rows_of(const struct cpu_program *program,
                                      const struct cpu_group *group, uint32_t step)
{
    return &program->steps[group->first + step].rows;
}

static int64_t done(const struct cpu_group *group, uint32_t stripe, uint32_t step)
{
    return group->end[(size_t)stripe * group->count + step];
}

// The step of the group that computes a value, or group->count.
static uint32_t producer(const struct cpu_program *program, const struct cpu_group *group,
                         uint32_t value)
{
    uint32_t step = 0;
    while (step < group->count && rows_of(program, group, step)->y != value)
        step++;
    return step;
}

// How many rows can be computed when the first `have` rows of the input are there: the last one
// reads up to row (rows - 1) * stride / enlarge - before + reach.
static int64_t allowed(const struct cpu_reads *reads, int64_t have)
{
    int64_t last = have + reads->before - reads->reach;
    return last < 0 ? 0 : ((last + 1) * reads->enlarge - 1) / reads->stride + 1;
}

static int64_t first_read(const struct cpu_reads *reads, int64_t row)
{
    int64_t first = row * reads->stride / reads->enlarge - reads->before;
    return first > 0 ? first : 0;
}

uint32_t cpu_count_stripes(const struct cpu_program *program, uint32_t first, int64_t rows)
{
    int64_t height = program->steps[first].rows.height;
    return (uint32_t)((height + rows - 1) / rows);
}

// As far as the inputs of the group allow in this stripe, which is not the last.
static int64_t reachable(const struct cpu_program *program, const struct cpu_group *group,
                         uint32_t stripe, uint32_t step, int64_t rows)
{
    const struct cpu_rows *own = rows_of(program, group, step);
    int64_t limit = own->height;
    bool is_source = true;
    for (uint32_t i = 0; i < own->n_reads; i++) {
        uint32_t from = producer(program, group, own->reads[i].value);
        if (from == group->count)
            continue;
        is_source = false;
        if (done(group, stripe, from) < rows_of(program, group, from)->height)
            limit = least(limit, allowed(&own->reads[i], done(group, stripe, from)));
    }
    if (is_source) {
        int64_t height = rows_of(program, group, 0)->height,
                end = least((stripe + 1) * rows, height);
        limit = (own->height * end + height - 1) / height;
    }
    return limit < own->height ? limit / own->together * own->together : limit;
}

void cpu_schedule(const struct cpu_program *program, struct cpu_group *group, int64_t rows)
{
    for (uint32_t stripe = 0; stripe < group->n_stripes; stripe++)
        for (uint32_t step = 0; step < group->count; step++) {
            int64_t end = stripe + 1 < group->n_stripes
                              ? reachable(program, group, stripe, step, rows)
                              : rows_of(program, group, step)->height;
            int64_t before = stripe > 0 ? done(group, stripe - 1, step) : 0;
            group->end[(size_t)stripe * group->count + step] = end > before ? end : before;
        }
}

int64_t cpu_first_row(const struct cpu_program *program, const struct cpu_group *group,
                      uint32_t stripe, uint32_t step)
{
    uint32_t value = rows_of(program, group, step)->y;
    int64_t first = stripe > 0 ? done(group, stripe - 1, step) : 0;
    for (uint32_t k = step + 1; stripe > 0 && k < group->count; k++) {
        const struct cpu_rows *reader = rows_of(program, group, k);
        int64_t next = done(group, stripe - 1, k);
        for (uint32_t i = 0; next < reader->height && i < reader->n_reads; i++)
            if (reader->reads[i].value == value)
                first = least(first, first_read(&reader->reads[i], next));
    }
    return first;
}

int64_t cpu_rows_kept(const struct cpu_program *program, const struct cpu_group *group,
                      uint32_t step)
{
    int64_t most = 0;
    for (uint32_t stripe = 0; stripe < group->n_stripes; stripe++) {
        int64_t rows = done(group, stripe, step) - cpu_first_row(program, group, stripe, step);
        most = rows > most ? rows : most;
    }
    return most;
}

bool cpu_is_window(const struct cpu_program *program, const struct cpu_group *group, uint32_t step)
{
    const struct cpu_value *value = &program->values[rows_of(program, group, step)->y];
    return value->place == CPU_IN_ARENA && value->rows > 0 && value->first >= group->first &&
           value->last < group->first + group->count;
}
