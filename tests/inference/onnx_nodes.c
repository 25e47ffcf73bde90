// ONNX's own test data: every case of a supported operator and type must pass.
//
//     build/tests/inference/onnx_nodes [--list] [--data DIR] [--dump DIR] [PART-OF-A-NAME…]
//
// Each case runs twice: node by node through the reference interpreter, and as a program of the cpu
// back end. A case that the importer refuses as not supported is listed with the reason. Inputs
// that only steer shapes or carry scales are given at load, as a model would hold them.
#include "accel/accel.h"
#include "accel/reference.h"
#include "inference/dataset.h"
#include "inference/onnx.h"
#include "inference/onnx.pb-c.h"
#include "inference/onnx_write.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_TENSORS = 64, MOST_CASES = 8192, MOST_OPERATORS = 256, LIMIT = 64 << 20 };
static const char *const folders[] = {"node", "simple", "pytorch-operator", "pytorch-converted"};

struct value { // one tensor of the test data
    Onnx__TensorProto *proto;
    uint32_t dtype;
    size_t elements;
    void *data;
};

struct test_case {
    char path[1024];
    const char *name;
    void *bytes;
    size_t size;
    Onnx__ModelProto *model;
    const char *op;
};

struct operator_row {
    char name[64];
    unsigned passed, failed, unsupported;
};

static struct operator_row operators[MOST_OPERATORS];
static unsigned n_operators;

static struct operator_row *row_of(const char *op)
{
    for (unsigned i = 0; i < n_operators; i++)
        if (!strcmp(operators[i].name, op))
            return &operators[i];
    if (n_operators == MOST_OPERATORS)
        abort();
    snprintf(operators[n_operators].name, sizeof(operators[0].name), "%s", op);
    return &operators[n_operators++];
}

static uint32_t dtype_of(int onnx_type)
{
    switch (onnx_type) {
    case ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT:
        return SL_F32;
    case ONNX__TENSOR_PROTO__DATA_TYPE__UINT8:
        return SL_U8;
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT8:
        return SL_I8;
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT32:
        return SL_I32;
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT64:
        return SL_I64;
    case ONNX__TENSOR_PROTO__DATA_TYPE__BOOL:
        return SL_BOOL;
    default:
        return 0;
    }
}

static bool read_value(const char *path, struct value *out)
{
    struct sl_error error;
    void *bytes;
    size_t size;
    if (sl_read_file(path, LIMIT, &bytes, &size, &error) < 0)
        return false;
    memset(out, 0, sizeof(*out));
    out->proto = onnx__tensor_proto__unpack(NULL, size, bytes);
    free(bytes);
    if (!out->proto || !(out->dtype = dtype_of(out->proto->data_type)))
        return false;
    out->elements = 1;
    for (size_t i = 0; i < out->proto->n_dims; i++)
        out->elements *= (size_t)out->proto->dims[i];
    const size_t wanted = out->elements * sl_dtype_size(out->dtype);
    const size_t typed = out->dtype == SL_F32   ? out->proto->n_float_data
                         : out->dtype == SL_I64 ? out->proto->n_int64_data
                                                : out->proto->n_int32_data;
    // What is no tensor (a sequence, an optional) was read as one: it does not add up.
    if (wanted > LIMIT || (out->proto->raw_data.len != wanted && typed != out->elements))
        return false;
    out->data = calloc(1, wanted + 1);
    if (!out->data)
        return false;
    if (out->proto->raw_data.len == wanted)
        memcpy(out->data, out->proto->raw_data.data, wanted);
    else if (out->dtype == SL_F32)
        memcpy(out->data, out->proto->float_data, out->proto->n_float_data * sizeof(float));
    else if (out->dtype == SL_I64)
        memcpy(out->data, out->proto->int64_data, out->proto->n_int64_data * sizeof(int64_t));
    else
        for (size_t i = 0; i < out->proto->n_int32_data; i++) {
            if (out->dtype == SL_I32)
                ((int32_t *)out->data)[i] = out->proto->int32_data[i];
            else
                ((uint8_t *)out->data)[i] = (uint8_t)out->proto->int32_data[i];
        }
    return true;
}

static void free_value(struct value *value)
{
    if (value->proto)
        onnx__tensor_proto__free_unpacked(value->proto, NULL);
    free(value->data);
    *value = (struct value){0};
}

static bool numbers_agree(const struct value *expected, const void *found, size_t *at)
{
    for (size_t i = 0; i < expected->elements; i++) {
        *at = i;
        if (expected->dtype == SL_F32) {
            const float a = ((const float *)expected->data)[i], b = ((const float *)found)[i];
            if (!(fabsf(a - b) <= 1e-5f + 1e-3f * fabsf(a)) && !(isnan(a) && isnan(b)) && a != b)
                return false;
        } else {
            const size_t size = sl_dtype_size(expected->dtype);
            if (memcmp((const char *)expected->data + i * size, (const char *)found + i * size,
                       size))
                return false;
        }
    }
    return true;
}

static int compare(const struct value *expected, const struct sl_tensor *tensor, const void *found,
                   const char *how, struct sl_error *error)
{
    size_t at = 0;
    if (tensor->dtype != expected->dtype || tensor->rank != expected->proto->n_dims)
        return sl_error_set(error, -EILSEQ, "%s: type or rank differs: %s, %u dimensions", how,
                            sl_dtype_name(tensor->dtype), tensor->rank);
    for (uint32_t i = 0; i < tensor->rank; i++)
        if (tensor->dims[i] != expected->proto->dims[i])
            return sl_error_set(error, -EILSEQ, "%s: side %u is %lld, expected %lld", how, i,
                                (long long)tensor->dims[i], (long long)expected->proto->dims[i]);
    if (!numbers_agree(expected, found, &at))
        return sl_error_set(error, -EILSEQ, "%s: output '%s' differs at element %zu", how,
                            tensor->name, at);
    return 0;
}

struct values {
    uint32_t n_in, n_out;
    struct value in[MOST_TENSORS], out[MOST_TENSORS];
};

static const struct value *input_of(const struct values *v, const struct test_case *test,
                                    const char *name)
{
    uint32_t at = 0;
    for (size_t i = 0; i < test->model->graph->n_input; i++) {
        if (!strcmp(test->model->graph->input[i]->name, name))
            return at < v->n_in ? &v->in[at] : NULL;
        at++;
    }
    return NULL;
}

static int run_reference(const struct sl_graph *g, const struct test_case *test,
                         const struct values *v, struct sl_error *error)
{
    void **data = calloc(g->n_tensors, sizeof(*data));
    int status = 0;
    for (uint32_t i = 0; i < g->n_tensors; i++)
        if (!g->tensors[i].data)
            data[i] = calloc(1, g->tensors[i].bytes + 64);
    for (uint32_t i = 0; i < g->n_inputs && status == 0; i++) {
        const struct sl_tensor *t = &g->tensors[g->inputs[i]];
        const struct value *value = input_of(v, test, t->name);
        if (value && !t->data)
            memcpy(data[g->inputs[i]], value->data, t->bytes);
    }
    for (uint32_t n = 0; n < g->n_nodes && status == 0; n++)
        status = sl_reference_run(g->tensors, &g->nodes[n], data, error);
    for (uint32_t i = 0; i < g->n_outputs && i < v->n_out && status == 0; i++) {
        const struct sl_tensor *t = &g->tensors[g->outputs[i]];
        status =
            compare(&v->out[i], t, t->data ? t->data : data[g->outputs[i]], "reference", error);
    }
    for (uint32_t i = 0; i < g->n_tensors; i++)
        free(data[i]);
    free(data);
    return status;
}

static int run_cpu(const struct sl_graph *g, const struct test_case *test, const struct values *v,
                   struct sl_error *error)
{
    struct sl_accel *accel = NULL;
    struct sl_program *program = NULL;
    int status = g->n_nodes ? sl_accel_open("cpu", &accel, error) : 0;
    if (g->n_nodes == 0)
        return 0; // all constant: compared above
    if (status == 0)
        status = sl_accel_load(accel, g, &program, error);
    for (uint32_t i = 0; i < g->n_inputs && status == 0; i++) {
        size_t bytes;
        void *memory = sl_program_input(program, i, &bytes);
        const struct value *value = input_of(v, test, g->tensors[g->inputs[i]].name);
        if (value)
            memcpy(memory, value->data, bytes);
    }
    if (status == 0)
        status = sl_program_run(program, SL_NO_DEADLINE, error);
    for (uint32_t i = 0; i < g->n_outputs && i < v->n_out && status == 0; i++) {
        size_t bytes;
        const void *found = sl_program_output(program, i, &bytes);
        status = compare(&v->out[i], &g->tensors[g->outputs[i]], found, "cpu", error);
    }
    sl_accel_unload(program);
    sl_accel_close(accel);
    return status == -EILSEQ || status == 0 ? status : sl_error_prefix(error, -EIO, "cpu");
}

// Loads with the inputs from `first_fixed` on given.
static int load(const struct test_case *test, const struct values *v, uint32_t first_fixed,
                struct sl_onnx **out, struct sl_error *error)
{
    struct sl_onnx_fixed_input fixed[MOST_TENSORS];
    struct sl_onnx_options options = {.fixed = fixed};
    for (uint32_t i = first_fixed; i < v->n_in && i < test->model->graph->n_input; i++) {
        struct sl_onnx_fixed_input *f = &fixed[options.n_fixed++];
        *f = (struct sl_onnx_fixed_input){.name = test->model->graph->input[i]->name,
                                          .dtype = v->in[i].dtype,
                                          .rank = (uint32_t)v->in[i].proto->n_dims,
                                          .data = v->in[i].data};
        for (uint32_t k = 0; k < f->rank && k < SL_MAX_RANK; k++)
            f->dims[k] = v->in[i].proto->dims[k];
    }
    return sl_onnx_load(test->bytes, test->size, &options, out, error);
}

static int read_values(const struct test_case *test, const char *kind, uint32_t *count,
                       struct value *values)
{
    char path[1200];
    *count = 0;
    for (uint32_t i = 0; i < MOST_TENSORS; i++) {
        snprintf(path, sizeof(path), "%s/test_data_set_0/%s_%u.pb", test->path, kind, i);
        if (access(path, R_OK) != 0)
            return 0;
        if (!read_value(path, &values[i]))
            return -ENOTSUP;
        ++*count;
    }
    return 0;
}

static bool needs_more(int status, const struct sl_error *error)
{
    return status == -ENOTSUP &&
           (strstr(error->message, "must be known") || strstr(error->message, "is open"));
}

// Written to a file and read again it is still the same network. With --dump the files are kept,
// for other readers.
static const char *dump_folder;

static int dump(const struct test_case *test, const void *bytes, size_t size,
                struct sl_error *error)
{
    char path[1300];
    snprintf(path, sizeof(path), "%s/%s.onnx", dump_folder, test->name);
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(bytes, 1, size, file) != size || fclose(file) != 0)
        return sl_error_set(error, -EIO, "%s: cannot be written", path);
    return 0;
}

static int run_written(const struct sl_graph *g, const struct test_case *test,
                       const struct values *v, struct sl_error *error)
{
    struct sl_onnx *again = NULL;
    void *bytes = NULL;
    size_t size = 0;
    int status = sl_onnx_write(g, NULL, &bytes, &size, error);
    if (status == -ENOTSUP) // plain integers, or what newer operator sets left behind
        return strstr(error->message, "cannot be written") ? 0 : -EIO;
    if (status == 0 && dump_folder)
        status = dump(test, bytes, size, error);
    if (status == 0)
        status = sl_onnx_load(bytes, size, NULL, &again, error);
    if (status == 0)
        status = run_reference(sl_onnx_graph(again), test, v, error);
    sl_onnx_free(again);
    free(bytes);
    return status < 0 ? sl_error_prefix(error, status, "written and read again") : 0;
}

static int run_values(const struct test_case *test, const struct values *v, struct sl_error *error)
{
    const uint32_t tries[] = {v->n_in, 1, 0};
    struct sl_onnx *onnx = NULL;
    int status = -ENOTSUP;
    for (int i = 0; i < 3 && !onnx; i++) {
        status = load(test, v, tries[i], &onnx, error);
        if (status < 0 && !needs_more(status, error))
            return status;
    }
    if (status < 0)
        return status;
    const struct sl_graph *g = sl_onnx_graph(onnx);
    status = run_reference(g, test, v, error);
    if (status == 0)
        status = run_cpu(g, test, v, error);
    if (status == 0)
        status = run_written(g, test, v, error);
    sl_onnx_free(onnx);
    return status == -ENOTSUP ? -EIO : status; // the importer took it: now it must run
}

static int run_case(struct test_case *test, struct sl_error *error)
{
    static struct values v;
    memset(&v, 0, sizeof(v));
    int status = read_values(test, "input", &v.n_in, v.in);
    if (status == 0)
        status = read_values(test, "output", &v.n_out, v.out);
    if (status < 0)
        sl_error_set(error, status, "test data of a type that is not supported");
    else
        status = run_values(test, &v, error);
    for (uint32_t i = 0; i < MOST_TENSORS; i++) {
        free_value(&v.in[i]);
        free_value(&v.out[i]);
    }
    return status;
}

static bool open_case(const char *folder, const char *name, struct test_case *test)
{
    char path[1200];
    struct sl_error error;
    memset(test, 0, sizeof(*test));
    snprintf(test->path, sizeof(test->path), "%s/%s", folder, name);
    test->name = name;
    snprintf(path, sizeof(path), "%s/model.onnx", test->path);
    if (sl_read_file(path, LIMIT, &test->bytes, &test->size, &error) < 0)
        return false;
    test->model = onnx__model_proto__unpack(NULL, test->size, test->bytes);
    if (!test->model || !test->model->graph || test->model->graph->n_node == 0) {
        free(test->bytes);
        return false;
    }
    test->op = test->model->graph->node[test->model->graph->n_node - 1]->op_type;
    return true;
}

struct totals {
    unsigned passed, failed, unsupported;
    bool list;
};

static void one_case(const char *folder, const char *name, struct totals *totals)
{
    struct test_case test;
    struct sl_error error = {""};
    if (!open_case(folder, name, &test))
        return;
    const int status = run_case(&test, &error);
    struct operator_row *row = row_of(test.op);
    if (status == 0) {
        row->passed++;
        totals->passed++;
        if (totals->list)
            printf("passed       %s\n", name);
    } else if (status == -ENOTSUP) {
        row->unsupported++;
        totals->unsupported++;
        if (totals->list)
            printf("unsupported  %s: %s\n", name, error.message);
    } else {
        row->failed++;
        totals->failed++;
        printf("FAILED       %s: %s\n", name, error.message);
    }
    onnx__model_proto__free_unpacked(test.model, NULL);
    free(test.bytes);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool wanted(const char *name, char **filters, int count)
{
    bool any = false;
    for (int i = 0; i < count; i++) {
        if (filters[i][0] == '-')
            continue;
        any = true;
        if (strstr(name, filters[i]))
            return true;
    }
    return !any;
}

static void all_cases(const char *folder, char **filters, int count, struct totals *totals)
{
    static char *names[MOST_CASES];
    unsigned n = 0;
    DIR *dir = opendir(folder);
    const struct dirent *entry;
    while (dir && (entry = readdir(dir)) && n < MOST_CASES)
        if (!strncmp(entry->d_name, "test_", 5) && wanted(entry->d_name, filters, count))
            names[n++] = strdup(entry->d_name);
    if (dir)
        closedir(dir);
    if (n)
        qsort(names, n, sizeof(*names), by_name);
    for (unsigned i = 0; i < n; i++) {
        one_case(folder, names[i], totals);
        free(names[i]);
    }
}

static int by_operator(const void *a, const void *b)
{
    return strcmp(((const struct operator_row *)a)->name, ((const struct operator_row *)b)->name);
}

static void print_operators(void)
{
    qsort(operators, n_operators, sizeof(operators[0]), by_operator);
    printf("%-24s %7s %7s %12s\n", "operator", "passed", "failed", "unsupported");
    for (unsigned i = 0; i < n_operators; i++)
        if (operators[i].passed || operators[i].failed)
            printf("%-24s %7u %7u %12u\n", operators[i].name, operators[i].passed,
                   operators[i].failed, operators[i].unsupported);
    printf("not supported at all:");
    for (unsigned i = 0; i < n_operators; i++)
        if (!operators[i].passed && !operators[i].failed)
            printf(" %s", operators[i].name);
    printf("\n");
}

int main(int argc, char **argv)
{
    const char *data = "/usr/share/libonnx-testdata/data";
    struct totals totals = {0};
    int n_filters = 0;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--list"))
            totals.list = true;
        else if (!strcmp(argv[i], "--data") && i + 1 < argc)
            data = argv[++i];
        else if (!strcmp(argv[i], "--dump") && i + 1 < argc)
            dump_folder = argv[++i];
        else
            argv[n_filters++] = argv[i];
    }
    if (access(data, R_OK) != 0) {
        printf("skipped: no test data in %s (package libonnx-testdata)\n", data);
        return 77;
    }
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        char folder[512];
        snprintf(folder, sizeof(folder), "%s/%s", data, folders[i]);
        all_cases(folder, argv, n_filters, &totals);
    }
    print_operators();
    printf("%u cases passed, %u failed, %u of operators, types or forms that are not supported\n",
           totals.passed, totals.failed, totals.unsupported);
    return totals.failed || totals.passed == 0;
}
