// Opening a model for work on its network, and saving what came out.
#include "inference/workshop/network.h"

#include "inference/dataset.h"
#include "inference/passes.h"
#include "inference/workshop/folder.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { YAML_LIMIT = 1 << 20 };

// A model's folder in which two components come from elsewhere: the network and its contract.
struct overlay {
    struct sl_model_source source, *base;
    void *network, *contract; // NULL: the folder's own
    size_t network_size, contract_size;
};

static bool is_onnx(const char *path)
{
    const size_t length = strlen(path);
    return length > 5 && !strcmp(path + length - 5, ".onnx");
}

static bool is_onnx_file(const char *path)
{
    struct stat info;
    return is_onnx(path) && (stat(path, &info) < 0 || !S_ISDIR(info.st_mode));
}

static int component(struct sl_model_source *source, const char *name, const void **bytes,
                     size_t *size, struct sl_error *error)
{
    struct overlay *o = (struct overlay *)source;
    const bool network = o->network && is_onnx(name);
    if (!network && !(o->contract && !strcmp(name, "model.yaml")))
        return o->base->component(o->base, name, bytes, size, error);
    *bytes = network ? o->network : o->contract;
    *size = network ? o->network_size : o->contract_size;
    return 0;
}

static void close_overlay(struct sl_model_source *source)
{
    struct overlay *o = (struct overlay *)source;
    if (o->base)
        o->base->close(o->base);
    free(o->network);
    free(o->contract);
    free(o);
}

static int open_overlay(const char *path, const char *contract, struct overlay *o,
                        struct sl_error *error)
{
    int status = 0;
    if (contract && !is_onnx_file(path))
        return sl_error_set(error, -EINVAL,
                            "%s: --contract goes with an .onnx file, and a folder has its own "
                            "model.yaml",
                            path);
    if (is_onnx_file(path))
        status = sl_read_file(path, SL_ONNX_MAX_BYTES, &o->network, &o->network_size, error);
    if (status == 0 && contract)
        status = sl_read_file(contract, YAML_LIMIT, &o->contract, &o->contract_size, error);
    if (status < 0)
        return status;
    return sl_model_source_directory(contract ? contract : path, &o->base, error);
}

static bool has_contract(const char *path, const char *contract)
{
    struct sl_model_source *source;
    const void *bytes;
    size_t size;
    struct sl_error error;
    if (contract || sl_model_source_directory(path, &source, &error) < 0)
        return true; // the reader will say what is wrong
    const int status = source->component(source, "model.yaml", &bytes, &size, &error);
    source->close(source);
    return status != -ENOENT;
}

static int thaw(const struct sl_graph *from, struct graph *to, struct sl_error *error)
{
    int status = 0;
    uint32_t number;
    graph_init(to, 8ull << 30);
    for (uint32_t i = 0; i < from->n_tensors && status == 0; i++)
        status = graph_add_tensor(to, &from->tensors[i], &number, error);
    for (uint32_t i = 0; i < from->n_nodes && status == 0; i++)
        status = graph_add_node(to, &from->nodes[i], error);
    for (uint32_t i = 0; i < from->n_inputs && status == 0; i++)
        status = graph_add_input(to, from->inputs[i], error);
    for (uint32_t i = 0; i < from->n_outputs && status == 0; i++)
        status = graph_add_output(to, from->outputs[i], error);
    if (status < 0)
        graph_free(to);
    return status;
}

int network_open(const char *path, const char *contract, struct network *out,
                 struct sl_error *error)
{
    const struct sl_model *model = NULL;
    if (!has_contract(path, contract))
        return sl_error_set(error, -EINVAL,
                            "%s: there is no model.yaml beside it, which says how pictures become "
                            "its input; write one or name one with --contract",
                            path);
    struct overlay *o = calloc(1, sizeof(*o));
    if (!o)
        return sl_error_set(error, -ENOMEM, "out of memory");
    o->source = (struct sl_model_source){component, close_overlay};
    int status = open_overlay(path, contract, o, error);
    if (status < 0) {
        close_overlay(&o->source);
        return status;
    }
    const bool given = o->network;
    status = sl_model_load(&o->source, &model, error);
    if (status == 0 && given && !is_onnx(model->network))
        status = sl_error_set(error, -EINVAL,
                              "the contract's network is '%s': expected a name that ends in .onnx",
                              model->network);
    if (status == 0)
        status = thaw(model->graph, &out->graph, error);
    if (status < 0) {
        sl_model_unref(model);
        return sl_error_prefix(error, status, "%s", path);
    }
    out->model = model;
    pool_init(&out->constants, 0);
    return 0;
}

void network_close(struct network *network)
{
    if (!network->model)
        return;
    graph_free(&network->graph);
    pool_free(&network->constants);
    sl_model_unref(network->model);
    network->model = NULL;
}

bool network_is_quantised(const struct network *network)
{
    for (uint32_t i = 0; i < network->graph.n_tensors; i++)
        if (network->graph.tensors[i].quant.count)
            return true;
    return false;
}

int network_copy(const struct graph *from, struct graph *to, struct sl_error *error)
{
    const struct sl_graph view = {.n_tensors = from->n_tensors,
                                  .n_nodes = from->n_nodes,
                                  .n_inputs = from->n_inputs,
                                  .n_outputs = from->n_outputs,
                                  .tensors = from->tensors,
                                  .nodes = from->nodes,
                                  .inputs = from->inputs,
                                  .outputs = from->outputs};
    return thaw(&view, to, error);
}

int network_replace(struct network *network, const struct graph *graph, struct sl_error *error)
{
    struct pool pool;
    struct sl_graph frozen;
    struct graph copy;
    pool_init(&pool, 8ull << 30);
    int status = graph_freeze(graph, &pool, "network", &frozen, error);
    if (status == 0)
        status = thaw(&frozen, &copy, error);
    if (status < 0) {
        pool_free(&pool);
        return status;
    }
    graph_free(&network->graph);
    pool_free(&network->constants);
    network->graph = copy;
    network->constants = pool;
    return 0;
}

int network_cut(const struct graph *graph, const uint32_t *outputs, uint32_t count,
                struct pool *pool, struct sl_graph *out, struct sl_error *error)
{
    struct graph copy;
    int status = network_copy(graph, &copy, error);
    if (status < 0)
        return status;
    copy.n_outputs = 0;
    for (uint32_t i = 0; i < count && status == 0; i++)
        status = graph_add_output(&copy, outputs[i], error);
    if (status == 0)
        status = pass_dead(&copy, error);
    if (status == 0)
        status = graph_freeze(&copy, pool, "cut", out, error);
    graph_free(&copy);
    return status;
}

static int merge_metadata(const struct network *network, const struct sl_onnx_metadata *more,
                          uint32_t n_more, struct sl_onnx_metadata **out, uint32_t *count,
                          struct sl_error *error)
{
    uint32_t n_old;
    const struct sl_onnx_metadata *old = sl_onnx_metadata(network->model->onnx, &n_old);
    struct sl_onnx_metadata *rows = calloc(n_old + n_more + 1, sizeof(*rows));
    if (!rows)
        return sl_error_set(error, -ENOMEM, "out of memory");
    *count = 0;
    for (uint32_t i = 0; i < n_old; i++) {
        bool replaced = false;
        for (uint32_t k = 0; k < n_more; k++)
            replaced |= !strcmp(old[i].key, more[k].key);
        if (!replaced)
            rows[(*count)++] = old[i];
    }
    for (uint32_t k = 0; k < n_more; k++)
        rows[(*count)++] = more[k];
    *out = rows;
    return 0;
}

// What was written must be what we read: a scale out of bounds, for one, is found here.
static int read_back(const void *bytes, size_t size, struct sl_error *error)
{
    struct sl_onnx *onnx = NULL;
    const struct sl_onnx_options options = {.batch = 1};
    const int status = sl_onnx_load(bytes, size, &options, &onnx, error);
    sl_onnx_free(onnx);
    return status < 0 ? sl_error_prefix(error, status, "the new network would not be read") : 0;
}

int network_bytes(const struct network *network, enum sl_weight_storage weights,
                  const struct sl_onnx_metadata *more, uint32_t n_more, void **bytes, size_t *size,
                  struct sl_error *error)
{
    struct pool pool;
    struct sl_graph frozen;
    struct sl_onnx_metadata *rows = NULL;
    struct sl_onnx_write_options options = {.weights = weights};
    pool_init(&pool, 8ull << 30);
    int status = graph_freeze(&network->graph, &pool, network->model->graph->name, &frozen, error);
    if (status == 0)
        status = merge_metadata(network, more, n_more, &rows, &options.n_metadata, error);
    options.metadata = rows;
    if (status == 0)
        status = sl_onnx_write(&frozen, &options, bytes, size, error);
    if (status == 0 && (status = read_back(*bytes, *size, error)) < 0) {
        free(*bytes);
        *bytes = NULL;
    }
    free(rows);
    pool_free(&pool);
    return status;
}

// The component as it was read, unless there is none.
static int keep(const struct network *network, struct folder *folder, const char *name,
                struct sl_error *error)
{
    struct sl_model_source *source = network->model->source;
    const void *bytes;
    size_t size;
    if (!name || !*name)
        return 0;
    const int status = source->component(source, name, &bytes, &size, error);
    if (status == -ENOENT || status == -EINVAL)
        return 0; // a licence's name instead of its file
    return status < 0 ? status : folder_add(folder, name, bytes, size, error);
}

int network_save(const struct network *network, const char *out, enum sl_weight_storage weights,
                 const struct sl_onnx_metadata *more, uint32_t n_more, struct sl_error *error)
{
    const struct sl_model *m = network->model;
    struct folder *folder = NULL;
    void *bytes = NULL;
    size_t size = 0;
    int status = network_bytes(network, weights, more, n_more, &bytes, &size, error);
    if (status == 0)
        status = folder_begin(out, &folder, error);
    if (status == 0)
        status = folder_add(folder, m->network, bytes, size, error);
    if (status == 0)
        status = keep(network, folder, "model.yaml", error);
    if (status == 0)
        status = keep(network, folder, m->licence, error);
    for (uint32_t i = 0; i < m->n_golden && status == 0; i++) {
        status = keep(network, folder, m->golden[i].picture, error);
        if (status == 0)
            status = keep(network, folder, m->golden[i].reference, error);
        if (status == 0)
            status = keep(network, folder, m->golden[i].expect, error);
    }
    status = status == 0 ? folder_commit(folder, error) : status;
    folder_end(folder);
    free(bytes);
    return status;
}
