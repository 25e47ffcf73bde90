// Sessions of ONNX Runtime: create from bytes, describe, bind the caller's memory, run.
#include "accel/onnxruntime/ort.h"
#include "accel/onnxruntime/ort_api.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define MAX_TENSORS 1024
#define MAX_ENTRIES 64

// The inputs or the outputs.
struct side {
    uint32_t count;
    struct ort_tensor *tensors;
    char **names; // the library's
    struct ort_value **values;
};

struct ort_session {
    struct ort *ort;
    struct ort_native_session *native;
    struct ort_allocator *allocator;
    struct side sides[ORT_DIRECTIONS];
};

static const char *const words[ORT_DIRECTIONS] = {"input", "output"};

static const struct {
    int native;
    uint32_t dtype;
    size_t bytes;
} types[] = {
    {ORT_FLOAT, SL_F32, 4}, {ORT_UINT8, SL_U8, 1},  {ORT_INT8, SL_I8, 1},
    {ORT_INT32, SL_I32, 4}, {ORT_INT64, SL_I64, 8}, {ORT_BOOL, SL_BOOL, 1},
};
#define N_TYPES (sizeof(types) / sizeof(*types))

static int set_provider(struct ort *ort, struct ort_native_options *native,
                        const struct ort_options *o, struct sl_error *error)
{
    const char *keys[MAX_ENTRIES], *values[MAX_ENTRIES];
    if (!o->provider)
        return 0;
    if (o->n_provider_options > MAX_ENTRIES)
        return sl_error_set(error, -EINVAL, "provider '%s': %u options, at most %d", o->provider,
                            o->n_provider_options, MAX_ENTRIES);
    for (uint32_t i = 0; i < o->n_provider_options; i++) {
        keys[i] = o->provider_options[i].key;
        values[i] = o->provider_options[i].value;
    }
    return ort_check(
        ort, ort->call.append_provider(native, o->provider, keys, values, o->n_provider_options),
        error, o->provider);
}

static int set_options(struct ort *ort, struct ort_native_options *native,
                       const struct ort_options *o, struct sl_error *error)
{
    const struct ort_functions *call = &ort->call;
    if (o->threads > INT_MAX)
        return sl_error_set(error, -EINVAL, "threads: %u is too many", o->threads);
    const int threads = o->threads ? (int)o->threads : 1;
    int status = ort_check(ort, call->set_severity(native, ORT_LOG_FATAL), error, "log");
    if (status == 0)
        status =
            ort_check(ort, call->set_optimisation(native, ORT_OPTIMISE_ALL), error, "optimisation");
    if (status == 0)
        status = ort_check(ort, call->set_threads(native, threads), error, "threads");
    if (status == 0)
        status = ort_check(ort, call->set_inter_threads(native, 1), error, "threads");
    for (uint32_t i = 0; status == 0 && i < o->n_config; i++)
        status = ort_check(ort, call->set_config(native, o->config[i].key, o->config[i].value),
                           error, o->config[i].key);
    if (status == 0 && o->profile)
        status = ort_check(ort, call->enable_profile(native, o->profile), error, "profile");
    return status ? status : set_provider(ort, native, o, error);
}

static int read_type(struct ort *ort, const struct ort_type_info *type, struct ort_tensor *out,
                     struct sl_error *error)
{
    int native = 0;
    size_t rank = 0;
    const struct ort_tensor_info *info = NULL;
    int status = ort_check(ort, ort->call.tensor_info(type, &info), error, out->name);
    if (status == 0 && !info)
        return sl_error_set(error, -ENOTSUP, "'%s' is not a tensor", out->name);
    if (status == 0)
        status = ort_check(ort, ort->call.element_type(info, &native), error, out->name);
    if (status == 0)
        status = ort_check(ort, ort->call.rank(info, &rank), error, out->name);
    if (status == 0 && rank > SL_MAX_RANK)
        return sl_error_set(error, -ENOTSUP, "'%s' has %zu dimensions, at most %d", out->name, rank,
                            SL_MAX_RANK);
    if (status == 0)
        status = ort_check(ort, ort->call.dims(info, out->dims, rank), error, out->name);
    if (status < 0)
        return status;
    out->rank = (uint32_t)rank;
    for (size_t i = 0; i < N_TYPES; i++)
        if (types[i].native == native)
            out->dtype = types[i].dtype;
    return 0;
}

static int read_tensor(struct ort_session *s, enum ort_direction direction, uint32_t index,
                       struct sl_error *error)
{
    const struct ort_functions *call = &s->ort->call;
    struct side *side = &s->sides[direction];
    struct ort_type_info *type = NULL;
    const bool in = direction == ORT_INPUT;
    int status =
        ort_check(s->ort,
                  in ? call->input_name(s->native, index, s->allocator, &side->names[index])
                     : call->output_name(s->native, index, s->allocator, &side->names[index]),
                  error, words[direction]);
    if (status < 0)
        return status;
    side->tensors[index].name = side->names[index];
    status = ort_check(s->ort,
                       in ? call->input_type(s->native, index, &type)
                          : call->output_type(s->native, index, &type),
                       error, words[direction]);
    if (status == 0)
        status = read_type(s->ort, type, &side->tensors[index], error);
    if (type)
        call->release_type(type);
    return status;
}

static int read_side(struct ort_session *s, enum ort_direction direction, struct sl_error *error)
{
    struct side *side = &s->sides[direction];
    size_t count = 0;
    int status = ort_check(s->ort,
                           direction == ORT_INPUT ? s->ort->call.input_count(s->native, &count)
                                                  : s->ort->call.output_count(s->native, &count),
                           error, words[direction]);
    if (status < 0)
        return status;
    if (count == 0 || count > MAX_TENSORS)
        return sl_error_set(error, -ENOTSUP, "%zu %ss, expected 1 to %d", count, words[direction],
                            MAX_TENSORS);
    side->tensors = calloc(count, sizeof(*side->tensors));
    side->names = calloc(count, sizeof(*side->names));
    side->values = calloc(count, sizeof(struct ort_value *));
    if (!side->tensors || !side->names || !side->values)
        return sl_error_set(error, -ENOMEM, "no memory");
    side->count = (uint32_t)count;
    for (uint32_t i = 0; status == 0 && i < side->count; i++)
        status = read_tensor(s, direction, i, error);
    return status;
}

static int create(struct ort_session *s, const void *onnx, size_t bytes,
                  const struct ort_options *options, struct sl_error *error)
{
    static const struct ort_options none;
    struct ort *ort = s->ort;
    struct ort_native_options *native = NULL;
    int status = ort_check(ort, ort->call.create_options(&native), error, "options");
    if (status == 0)
        status = set_options(ort, native, options ? options : &none, error);
    if (status == 0)
        status = ort_check(ort, ort->call.create_session(ort->env, onnx, bytes, native, &s->native),
                           error, "model");
    if (native)
        ort->call.release_options(native);
    if (status == 0)
        status = ort_check(ort, ort->call.default_allocator(&s->allocator), error, "allocator");
    for (int i = 0; status == 0 && i < ORT_DIRECTIONS; i++)
        status = read_side(s, (enum ort_direction)i, error);
    return status;
}

int ort_session_create(struct ort *ort, const void *onnx, size_t bytes,
                       const struct ort_options *options, struct ort_session **out,
                       struct sl_error *error)
{
    if (!onnx || bytes == 0)
        return sl_error_set(error, -EINVAL, "model: no bytes of an ONNX file");
    struct ort_session *session = calloc(1, sizeof(*session));
    if (!session)
        return sl_error_set(error, -ENOMEM, "no memory");
    session->ort = ort;
    int status = create(session, onnx, bytes, options, error);
    if (status < 0)
        ort_session_free(session);
    else
        *out = session;
    return status;
}

static void free_side(struct ort_session *s, struct side *side)
{
    for (uint32_t i = 0; i < side->count; i++) {
        if (side->values[i])
            s->ort->call.release_value(side->values[i]);
        if (side->names[i])
            ort_check(s->ort, s->ort->call.allocator_free(s->allocator, side->names[i]), NULL, "");
    }
    free(side->values);
    free(side->names);
    free(side->tensors);
}

void ort_session_free(struct ort_session *session)
{
    if (!session)
        return;
    for (int i = 0; i < ORT_DIRECTIONS; i++)
        free_side(session, &session->sides[i]);
    if (session->native)
        session->ort->call.release_session(session->native);
    free(session);
}

uint32_t ort_session_count(const struct ort_session *session, enum ort_direction direction)
{
    return session->sides[direction].count;
}

const struct ort_tensor *ort_session_tensor(const struct ort_session *session,
                                            enum ort_direction direction, uint32_t index)
{
    const struct side *side = &session->sides[direction];
    return index < side->count ? &side->tensors[index] : NULL;
}

// Place of the type in the table above, or -EINVAL if `shape` is not what the model says.
static int fits(const struct ort_tensor *tensor, const struct sl_tensor *shape, size_t bytes,
                struct sl_error *error)
{
    size_t type = 0, left = bytes;
    while (type < N_TYPES && types[type].dtype != shape->dtype)
        type++;
    if (type == N_TYPES || tensor->dtype != shape->dtype)
        return sl_error_set(error, -EINVAL, "'%s': type %u, expected %u", tensor->name,
                            shape->dtype, tensor->dtype);
    if (shape->rank != tensor->rank)
        return sl_error_set(error, -EINVAL, "'%s': %u dimensions, expected %u", tensor->name,
                            shape->rank, tensor->rank);
    bool whole = left % types[type].bytes == 0;
    left /= types[type].bytes;
    for (uint32_t i = 0; i < shape->rank; i++) {
        const int64_t size = shape->dims[i];
        if (size < 1 || (tensor->dims[i] >= 0 && tensor->dims[i] != size))
            return sl_error_set(error, -EINVAL, "'%s': dimension %u is %lld, expected %lld",
                                tensor->name, i, (long long)size, (long long)tensor->dims[i]);
        whole = whole && left % (uint64_t)size == 0;
        left /= (uint64_t)size;
    }
    if (!whole || left != 1)
        return sl_error_set(error, -EINVAL, "'%s': %zu bytes are not what its dimensions need",
                            tensor->name, bytes);
    return (int)type;
}

int ort_session_bind(struct ort_session *session, enum ort_direction direction, uint32_t index,
                     const struct sl_tensor *shape, void *data, size_t bytes,
                     struct sl_error *error)
{
    struct side *side = &session->sides[direction];
    struct ort_value *value = NULL;
    if (index >= side->count)
        return sl_error_set(error, -EINVAL, "%s %u of %u", words[direction], index, side->count);
    const int type = fits(&side->tensors[index], shape, bytes, error);
    if (type < 0)
        return type;
    const int status =
        ort_check(session->ort,
                  session->ort->call.create_tensor(session->ort->memory, data, bytes, shape->dims,
                                                   shape->rank, types[type].native, &value),
                  error, side->tensors[index].name);
    if (status < 0)
        return status;
    if (side->values[index])
        session->ort->call.release_value(side->values[index]);
    side->values[index] = value;
    return 0;
}

int ort_session_run(struct ort_session *session, struct sl_error *error)
{
    for (int d = 0; d < ORT_DIRECTIONS; d++)
        for (uint32_t i = 0; i < session->sides[d].count; i++)
            if (!session->sides[d].values[i])
                return sl_error_set(error, -EINVAL, "%s '%s' is not bound", words[d],
                                    session->sides[d].names[i]);
    const struct side *in = &session->sides[ORT_INPUT], *out = &session->sides[ORT_OUTPUT];
    return ort_check(session->ort,
                     session->ort->call.run(session->native, NULL, (const char *const *)in->names,
                                            (const struct ort_value *const *)in->values, in->count,
                                            (const char *const *)out->names, out->count,
                                            out->values),
                     error, "run");
}
