// Networks to bytes and back.
#include "accel/isolated/graph_bytes.h"

#include "accel/graph_check.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MAGIC     0x314e4c53u // "SLN1"
#define ALIGNMENT 64
#define MAX_BYTES ((uint64_t)1 << 33)

struct span {
    uint64_t at, bytes;
};

struct header {
    uint32_t magic, version;
    uint32_t tensor_size, node_size; // the writer's structs
    uint32_t n_tensors, n_nodes, n_inputs, n_outputs;
    struct span name, tensors, nodes, inputs, outputs, onnx;
};

struct tensor_record {
    struct sl_tensor tensor; // its pointers are NULL
    struct span name, scale, zero_point, data;
};

struct node_record {
    struct sl_node node; // its pointers are NULL
    struct span name, inputs, outputs;
};

// Writing is done twice with the same code: once to count, once into the mapping.
struct writer {
    char *bytes; // NULL: count
    uint64_t used;
};

static struct span put(struct writer *w, const void *data, uint64_t bytes)
{
    if (!data)
        return (struct span){0};
    struct span span = {w->used, bytes};
    if (w->bytes && bytes)
        memcpy(w->bytes + w->used, data, bytes);
    w->used += bytes / ALIGNMENT * ALIGNMENT + ALIGNMENT;
    return span;
}

static struct span put_text(struct writer *w, const char *text)
{
    return put(w, text, text ? strlen(text) + 1 : 0);
}

static struct span skip(struct writer *w, uint64_t bytes)
{
    struct span span = {w->used, bytes};
    w->used += bytes / ALIGNMENT * ALIGNMENT + ALIGNMENT;
    return span;
}

static void store(struct writer *w, struct span span, uint64_t index, const void *record,
                  size_t bytes)
{
    if (w->bytes)
        memcpy(w->bytes + span.at + index * bytes, record, bytes);
}

static void write_tensor(struct writer *w, struct span table, uint32_t i, const struct sl_tensor *t)
{
    struct tensor_record r;
    memset(&r, 0, sizeof(r));
    r.tensor.dtype = t->dtype;
    r.tensor.rank = t->rank;
    memcpy(r.tensor.dims, t->dims, sizeof(t->dims));
    r.tensor.quant.count = t->quant.count;
    r.tensor.quant.axis = t->quant.axis;
    r.tensor.bytes = t->bytes;
    r.name = put_text(w, t->name);
    r.scale = put(w, t->quant.count ? t->quant.scale : NULL, 4 * (uint64_t)t->quant.count);
    r.zero_point =
        put(w, t->quant.count ? t->quant.zero_point : NULL, 4 * (uint64_t)t->quant.count);
    r.data = put(w, t->data, t->bytes);
    store(w, table, i, &r, sizeof(r));
}

static void write_node(struct writer *w, struct span table, uint32_t i, const struct sl_node *n)
{
    struct node_record r;
    memset(&r, 0, sizeof(r));
    r.node.op = n->op;
    r.node.n_inputs = n->n_inputs;
    r.node.n_outputs = n->n_outputs;
    r.node.activation = n->activation;
    r.node.attrs = n->attrs;
    r.name = put_text(w, n->name);
    r.inputs = put(w, n->inputs, 4 * (uint64_t)n->n_inputs);
    r.outputs = put(w, n->outputs, 4 * (uint64_t)n->n_outputs);
    store(w, table, i, &r, sizeof(r));
}

static uint64_t write_graph(const struct sl_graph *g, char *bytes)
{
    struct writer w = {bytes, 0};
    struct header h;
    memset(&h, 0, sizeof(h));
    struct span top = skip(&w, sizeof(h));
    h.magic = MAGIC;
    h.version = g->version;
    h.tensor_size = sizeof(struct tensor_record);
    h.node_size = sizeof(struct node_record);
    h.n_tensors = g->n_tensors;
    h.n_nodes = g->n_nodes;
    h.n_inputs = g->n_inputs;
    h.n_outputs = g->n_outputs;
    h.name = put_text(&w, g->name);
    h.inputs = put(&w, g->inputs, 4 * (uint64_t)g->n_inputs);
    h.outputs = put(&w, g->outputs, 4 * (uint64_t)g->n_outputs);
    h.onnx = put(&w, g->onnx, g->onnx ? g->onnx_bytes : 0);
    h.tensors = skip(&w, sizeof(struct tensor_record) * (uint64_t)g->n_tensors);
    h.nodes = skip(&w, sizeof(struct node_record) * (uint64_t)g->n_nodes);
    for (uint32_t i = 0; i < g->n_tensors; i++)
        write_tensor(&w, h.tensors, i, &g->tensors[i]);
    for (uint32_t i = 0; i < g->n_nodes; i++)
        write_node(&w, h.nodes, i, &g->nodes[i]);
    store(&w, top, 0, &h, sizeof(h));
    return w.used;
}

static int fill(int fd, const struct sl_graph *graph, size_t size, struct sl_error *error)
{
    if (ftruncate(fd, (off_t)size) < 0)
        return sl_error_set(error, -errno, "network of %zu bytes: %s", size, strerror(errno));
    char *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        return sl_error_set(error, -errno, "network of %zu bytes: %s", size, strerror(errno));
    write_graph(graph, map);
    munmap(map, size);
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
        return sl_error_set(error, -errno, "network: %s", strerror(errno));
    return 0;
}

int graph_bytes_write(const struct sl_graph *graph, int *fd, size_t *size, struct sl_error *error)
{
    const size_t bytes = (size_t)write_graph(graph, NULL);
    int memory = memfd_create("sightline-network", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (memory < 0)
        return sl_error_set(error, -errno, "memfd_create: %s", strerror(errno));
    int status = fill(memory, graph, bytes, error);
    if (status) {
        close(memory);
        return status;
    }
    *fd = memory;
    *size = bytes;
    return 0;
}

struct reader {
    const char *bytes;
    size_t size;
    struct sl_error *error;
};

static int malformed(const struct reader *r, const char *what, uint64_t index)
{
    return sl_error_set(r->error, -EINVAL, "network: %s %llu lies outside of the %zu bytes", what,
                        (unsigned long long)index, r->size);
}

// `count` records of `record` bytes each; NULL stands for none where `optional`.
static bool get(const struct reader *r, struct span span, uint64_t count, size_t record,
                bool optional, const void **out)
{
    if (optional && span.at == 0 && span.bytes == 0) {
        *out = NULL;
        return true;
    }
    if (span.at == 0 || span.at % ALIGNMENT || span.at > r->size ||
        span.bytes > r->size - span.at || count != span.bytes / record || span.bytes % record)
        return false;
    *out = r->bytes + span.at;
    return true;
}

static bool get_text(const struct reader *r, struct span span, const char **out)
{
    const void *text;
    if (!get(r, span, span.bytes, 1, true, &text))
        return false;
    *out = text;
    return !text || (span.bytes > 0 && memchr(text, '\0', span.bytes) != NULL);
}

static bool get_floats(const struct reader *r, struct span span, uint32_t count, const float **out)
{
    const void *p;
    if (!get(r, span, count, 4, count == 0, &p))
        return false;
    *out = p;
    return true;
}

static bool get_numbers(const struct reader *r, struct span span, uint32_t count, bool optional,
                        const uint32_t **out)
{
    const void *p;
    if (!get(r, span, count, 4, optional, &p))
        return false;
    *out = p;
    return true;
}

static bool read_tensor(const struct reader *r, const struct tensor_record *record,
                        struct sl_tensor *t)
{
    const void *zero_point;
    memcpy(t, &record->tensor, sizeof(*t));
    const uint32_t count = t->quant.count;
    if (!get_text(r, record->name, &t->name) ||
        !get_floats(r, record->scale, count, &t->quant.scale) ||
        !get(r, record->zero_point, count, 4, count == 0, &zero_point) ||
        !get(r, record->data, t->bytes, 1, true, &t->data))
        return false;
    t->quant.zero_point = zero_point;
    t->name = t->name ? t->name : "";
    return true;
}

static bool read_node(const struct reader *r, const struct node_record *record, struct sl_node *n)
{
    memcpy(n, &record->node, sizeof(*n));
    if (!get_text(r, record->name, &n->name) ||
        !get_numbers(r, record->inputs, n->n_inputs, n->n_inputs == 0, &n->inputs) ||
        !get_numbers(r, record->outputs, n->n_outputs, n->n_outputs == 0, &n->outputs))
        return false;
    n->name = n->name ? n->name : "";
    return true;
}

static int read_tables(const struct reader *r, const struct header *h, struct sl_tensor *tensors,
                       struct sl_node *nodes)
{
    const void *table;
    if (!get(r, h->tensors, h->n_tensors, sizeof(struct tensor_record), false, &table))
        return malformed(r, "table of tensors", h->n_tensors);
    const struct tensor_record *tensor = table;
    for (uint32_t i = 0; i < h->n_tensors; i++)
        if (!read_tensor(r, &tensor[i], &tensors[i]))
            return malformed(r, "tensor", i);
    if (!get(r, h->nodes, h->n_nodes, sizeof(struct node_record), false, &table))
        return malformed(r, "table of nodes", h->n_nodes);
    const struct node_record *node = table;
    for (uint32_t i = 0; i < h->n_nodes; i++)
        if (!read_node(r, &node[i], &nodes[i]))
            return malformed(r, "node", i);
    return 0;
}

static int read_header(const struct reader *r, struct header *h)
{
    if (r->size < sizeof(*h) || r->size > MAX_BYTES || (uintptr_t)r->bytes % ALIGNMENT)
        return sl_error_set(r->error, -EINVAL, "network: %zu bytes are no network", r->size);
    memcpy(h, r->bytes, sizeof(*h));
    if (h->magic != MAGIC || h->tensor_size != sizeof(struct tensor_record) ||
        h->node_size != sizeof(struct node_record))
        return sl_error_set(r->error, -EINVAL, "network: of another build or none");
    if (h->n_tensors > SL_GRAPH_MAX_TENSORS || h->n_nodes > SL_GRAPH_MAX_NODES ||
        h->n_inputs > SL_GRAPH_MAX_TENSORS || h->n_outputs > SL_GRAPH_MAX_TENSORS)
        return sl_error_set(r->error, -EINVAL, "network: too many tensors or nodes");
    return 0;
}

// The graph, its tensors and its nodes in one piece of memory.
static struct sl_graph *allocate(const struct header *h)
{
    struct sl_graph *graph =
        calloc(1, sizeof(*graph) + sizeof(struct sl_tensor) * ((size_t)h->n_tensors + 1) +
                      sizeof(struct sl_node) * ((size_t)h->n_nodes + 1));
    if (graph) {
        struct sl_tensor *tensors = (struct sl_tensor *)(graph + 1);
        graph->tensors = tensors;
        graph->nodes = (struct sl_node *)(tensors + h->n_tensors + 1);
    }
    return graph;
}

static int read_graph(const struct reader *r, const struct header *h, struct sl_graph *g,
                      struct sl_tensor *tensors, struct sl_node *nodes)
{
    g->version = h->version;
    g->struct_size = sizeof(*g);
    g->n_tensors = h->n_tensors;
    g->n_nodes = h->n_nodes;
    g->n_inputs = h->n_inputs;
    g->n_outputs = h->n_outputs;
    g->onnx_bytes = h->onnx.bytes;
    if (!get_text(r, h->name, &g->name) ||
        !get_numbers(r, h->inputs, h->n_inputs, h->n_inputs == 0, &g->inputs) ||
        !get_numbers(r, h->outputs, h->n_outputs, h->n_outputs == 0, &g->outputs) ||
        !get(r, h->onnx, h->onnx.bytes, 1, true, &g->onnx))
        return malformed(r, "part", 0);
    g->name = g->name ? g->name : "";
    int status = read_tables(r, h, tensors, nodes);
    return status ? status : sl_graph_check(g, r->error);
}

int graph_bytes_read(const void *bytes, size_t size, struct sl_graph **out, struct sl_error *error)
{
    const struct reader r = {bytes, size, error};
    struct header h;
    int status = read_header(&r, &h);
    if (status)
        return status;
    struct sl_graph *graph = allocate(&h);
    if (!graph)
        return sl_error_set(error, -ENOMEM, "no memory");
    struct sl_tensor *tensors = (struct sl_tensor *)(graph + 1);
    status = read_graph(&r, &h, graph, tensors, (struct sl_node *)(tensors + h.n_tensors + 1));
    if (status) {
        free(graph);
        return status;
    }
    *out = graph;
    return 0;
}

void graph_bytes_free(struct sl_graph *graph)
{
    free(graph);
}
