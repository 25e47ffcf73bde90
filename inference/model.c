// Loading a model: model.yaml and the network, and that they fit each other.
#include "inference/model.h"

#include "inference/model_yaml.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct loaded {
    struct sl_model model; // first: what the others see
    atomic_uint references;
    struct yaml_model *yaml;
    struct sl_onnx *onnx;
    struct sl_golden *golden;
};

static float or_else(double value, float usual)
{
    return value > 0 ? (float)value : usual;
}

static int take_input(const struct yaml_input *yaml, struct sl_input_contract *out,
                      struct sl_error *error)
{
    if ((yaml->mean_count && yaml->mean_count != yaml->channels_count) ||
        (yaml->std_count && yaml->std_count != yaml->channels_count))
        return sl_error_set(error, -EINVAL,
                            "input: %u channels need as many values in mean (%u) and std (%u)",
                            yaml->channels_count, yaml->mean_count, yaml->std_count);
    *out = (struct sl_input_contract){.width = yaml->width,
                                      .height = yaml->height,
                                      .n_channels = yaml->channels_count,
                                      .fit = yaml->fit ? yaml->fit : SL_FIT_STRETCH,
                                      .pad_value = (uint8_t)yaml->pad_value,
                                      .max_shift_px = 40,
                                      .max_rotation_deg = 5};
    bool reference = false, grey = false;
    for (uint32_t i = 0; i < yaml->channels_count; i++) {
        out->channels[i] = (uint32_t)yaml->channels[i];
        out->mean[i] = yaml->mean_count ? (float)yaml->mean[i] : 0;
        out->std[i] = yaml->std_count ? (float)yaml->std[i] : 1;
        reference |= yaml->channels[i] == SL_CHANNEL_REFERENCE;
        grey |= yaml->channels[i] == SL_CHANNEL_PICTURE;
    }
    if (reference && !grey)
        return sl_error_set(error, -EINVAL,
                            "input.channels: a reference needs a picture beside it");
    if (yaml->register_limit && !reference)
        return sl_error_set(error, -EINVAL,
                            "input.register_limit: there is no reference in input.channels");
    if (yaml->register_limit) {
        out->max_shift_px = (float)yaml->register_limit->shift_px;
        out->max_rotation_deg = (float)yaml->register_limit->rotation_deg;
    }
    return 0;
}

static int take_anchors(const struct yaml_head *yaml, struct sl_head_contract *out,
                        struct sl_error *error)
{
    if (yaml->anchors_count && yaml->anchors_count != yaml->strides_count)
        return sl_error_set(error, -EINVAL, "head.anchors: %u lists for %u strides",
                            yaml->anchors_count, yaml->strides_count);
    for (uint32_t s = 0; s < yaml->anchors_count; s++) {
        if (yaml->anchors[s].anchors_count != yaml->anchors[0].anchors_count)
            return sl_error_set(error, -EINVAL, "head.anchors: every stride needs as many anchors");
        for (uint32_t a = 0; a < yaml->anchors[s].anchors_count; a++)
            for (uint32_t k = 0; k < 2; k++)
                out->anchors[s][a][k] = (float)yaml->anchors[s].anchors[a].size[k];
    }
    out->n_anchors = yaml->anchors_count ? yaml->anchors[0].anchors_count : 0;
    return 0;
}

static int take_head(const struct yaml_head *yaml, struct sl_head_contract *out,
                     struct sl_error *error)
{
    *out = (struct sl_head_contract){.type = yaml->type,
                                     .n_outputs = yaml->outputs_count,
                                     .n_strides = yaml->strides_count,
                                     .peak_window = yaml->peak_window ? yaml->peak_window : 3,
                                     .nms_iou = or_else(yaml->nms_iou, 0.5f),
                                     .nms_per_class = yaml->nms_per_class,
                                     .max_detections =
                                         yaml->max_detections ? yaml->max_detections : 100,
                                     .min_score = or_else(yaml->min_score, 0.02f)};
    for (uint32_t i = 0; i < yaml->outputs_count; i++)
        out->outputs[i] = yaml->outputs[i];
    for (uint32_t i = 0; i < yaml->strides_count; i++)
        out->strides[i] = yaml->strides[i];
    if (out->peak_window % 2 == 0)
        return sl_error_set(error, -EINVAL, "head.peak_window: expected an odd number, found %u",
                            out->peak_window);
    return take_anchors(yaml, out, error);
}

static int take_classes(const struct yaml_model *yaml, struct sl_model *out, struct sl_error *error)
{
    out->n_classes = yaml->classes_count;
    for (uint32_t i = 0; i < yaml->classes_count; i++) {
        for (uint32_t k = 0; k < i; k++)
            if (!strcmp(yaml->classes[i].name, yaml->classes[k].name))
                return sl_error_set(error, -EINVAL, "classes: '%s' is there twice",
                                    yaml->classes[i].name);
        out->classes[i] =
            (struct sl_class){yaml->classes[i].name, (float)yaml->classes[i].threshold};
    }
    return 0;
}

static int check_component(struct sl_model_source *source, const char *name, const char *what,
                           struct sl_error *error)
{
    const void *bytes;
    size_t size;
    const int status = name ? source->component(source, name, &bytes, &size, error) : 0;
    return status < 0 ? sl_error_prefix(error, status, "%s", what) : 0;
}

static int take_golden(struct loaded *l, struct sl_error *error)
{
    const struct yaml_model *yaml = l->yaml;
    const bool reference = sl_model_needs_reference(&l->model);
    l->golden = calloc(yaml->golden_count ? yaml->golden_count : 1, sizeof(*l->golden));
    if (!l->golden)
        return sl_error_set(error, -ENOMEM, "out of memory");
    for (uint32_t i = 0; i < yaml->golden_count; i++) {
        const struct yaml_golden *g = &yaml->golden[i];
        if (reference != (g->reference != NULL))
            return sl_error_set(error, -EINVAL, "golden[%u]: %s", i,
                                reference ? "reference is missing"
                                          : "the model takes no reference");
        int status = check_component(l->model.source, g->picture, "golden picture", error);
        if (status == 0)
            status = check_component(l->model.source, g->reference, "golden reference", error);
        if (status == 0)
            status = check_component(l->model.source, g->expect, "golden expectation", error);
        if (status < 0)
            return status;
        l->golden[i] = (struct sl_golden){g->picture, g->reference, g->expect};
    }
    l->model.golden = l->golden;
    l->model.n_golden = yaml->golden_count;
    return 0;
}

// The network's input is what model.yaml says. (Its outputs are the head's to check.)
static int check_network(const struct sl_model *model, struct sl_error *error)
{
    const struct sl_graph *g = model->graph;
    const struct sl_input_contract *c = &model->input;
    if (g->n_inputs != 1)
        return sl_error_set(error, -ENOTSUP, "the network has %u inputs, expected 1", g->n_inputs);
    const struct sl_tensor *t = &g->tensors[g->inputs[0]];
    if (t->dtype != SL_F32 || t->rank != 4 || t->dims[0] != 1 || t->dims[1] != c->n_channels ||
        t->dims[2] != c->height || t->dims[3] != c->width)
        return sl_error_set(error, -EINVAL,
                            "the network's input '%s' is not the float32 1 x %u x %u x %u of "
                            "model.yaml",
                            t->name, c->n_channels, c->height, c->width);
    for (uint32_t i = 0; i < model->head.n_outputs; i++) {
        uint32_t k = 0;
        while (k < g->n_outputs && strcmp(g->tensors[g->outputs[k]].name, model->head.outputs[i]))
            k++;
        if (k == g->n_outputs)
            return sl_error_set(error, -EINVAL, "head.outputs: the network has no output '%s'",
                                model->head.outputs[i]);
    }
    return 0;
}

static int read_yaml(struct loaded *l, struct sl_error *error)
{
    const void *bytes;
    size_t size;
    struct sl_yaml_error problem = {""};
    void *yaml = NULL;
    int status = l->model.source->component(l->model.source, "model.yaml", &bytes, &size, error);
    if (status < 0)
        return status;
    status = sl_yaml_load("model.yaml", bytes, size, &model_yaml_schema, &yaml, &problem);
    if (status < 0)
        return sl_error_set(error, status, "%s", problem.message);
    l->yaml = yaml;
    return 0;
}

static int read_network(struct loaded *l, struct sl_error *error)
{
    const void *bytes;
    size_t size;
    int status =
        l->model.source->component(l->model.source, l->yaml->network, &bytes, &size, error);
    if (status == 0) {
        status = sl_onnx_load(bytes, size, NULL, &l->onnx, error);
        if (status < 0)
            return sl_error_prefix(error, status, "%s", l->yaml->network);
    }
    if (status == 0) {
        l->model.onnx = l->onnx;
        l->model.graph = sl_onnx_graph(l->onnx);
        status = check_network(&l->model, error);
    }
    return status;
}

static int fill(struct loaded *l, struct sl_error *error)
{
    int status = read_yaml(l, error);
    if (status < 0)
        return status;
    const struct yaml_model *yaml = l->yaml;
    l->model.name = yaml->name;
    l->model.version = yaml->version;
    l->model.description = yaml->description ? yaml->description : "";
    l->model.licence = yaml->licence ? yaml->licence : "";
    l->model.network = yaml->network;
    l->model.unpruned_macs = (int64_t)yaml->unpruned_macs;
    status = take_input(&yaml->input, &l->model.input, error);
    if (status == 0)
        status = take_head(&yaml->head, &l->model.head, error);
    if (status == 0)
        status = take_classes(yaml, &l->model, error);
    if (status < 0)
        return sl_error_prefix(error, status, "model.yaml");
    status = read_network(l, error);
    return status < 0 ? status : take_golden(l, error);
}

static void unload(struct loaded *l)
{
    sl_onnx_free(l->onnx);
    free(l->golden);
    if (l->yaml)
        sl_yaml_free(&model_yaml_schema, l->yaml);
    if (l->model.source)
        l->model.source->close(l->model.source);
    free(l);
}

int sl_model_load(struct sl_model_source *source, const struct sl_model **out,
                  struct sl_error *error)
{
    struct loaded *l = calloc(1, sizeof(*l));
    if (!l) {
        source->close(source);
        return sl_error_set(error, -ENOMEM, "out of memory");
    }
    l->model.source = source;
    atomic_init(&l->references, 1);
    const int status = fill(l, error);
    if (status < 0) {
        unload(l);
        return status;
    }
    *out = &l->model;
    return 0;
}

static struct loaded *behind(const struct sl_model *model)
{
    return (struct loaded *)(uintptr_t)model;
}

const struct sl_model *sl_model_ref(const struct sl_model *model)
{
    atomic_fetch_add_explicit(&behind(model)->references, 1, memory_order_relaxed);
    return model;
}

void sl_model_unref(const struct sl_model *model)
{
    if (model &&
        atomic_fetch_sub_explicit(&behind(model)->references, 1, memory_order_acq_rel) == 1)
        unload(behind(model));
}

bool sl_model_needs_reference(const struct sl_model *model)
{
    for (uint32_t i = 0; i < model->input.n_channels; i++)
        if (model->input.channels[i] == SL_CHANNEL_REFERENCE)
            return true;
    return false;
}
