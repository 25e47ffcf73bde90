// A model: the network and all that ONNX cannot say about it (model.yaml).
//
// Components come from a model source: a directory in development, a verified slot on the
// appliance. Nothing below opens a path by itself.
#ifndef SL_INFERENCE_MODEL_H
#define SL_INFERENCE_MODEL_H

#include "accel/error.h"
#include "accel/graph.h"
#include "inference/onnx.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Gives component `name` ("model.yaml", "model.onnx", "golden/1_test.jpg") as bytes. The bytes
// belong to the source and live until close. -ENOENT if there is none. Names are relative, without
// "..": a source refuses any other.
struct sl_model_source {
    int (*component)(struct sl_model_source *source, const char *name, const void **bytes,
                     size_t *size, struct sl_error *error);
    void (*close)(struct sl_model_source *source);
};

// A directory, or the path of a model.yaml or .onnx file in it.
int sl_model_source_directory(const char *path, struct sl_model_source **out,
                              struct sl_error *error);

enum sl_channel {
    SL_CHANNEL_PICTURE = 1, // grey value of the picture
    SL_CHANNEL_REFERENCE,   // grey value of the registered reference
    SL_CHANNEL_R,
    SL_CHANNEL_G,
    SL_CHANNEL_B,
};

enum sl_fit { SL_FIT_STRETCH = 1, SL_FIT_LETTERBOX };

enum sl_head_type {
    SL_HEAD_CENTRE = 1,
    SL_HEAD_YOLOX,
    SL_HEAD_YOLOV5,
    SL_HEAD_YOLOV8,
    SL_HEAD_FASTESTDET
};

#define SL_MAX_CHANNELS 4
#define SL_MAX_CLASSES  256
#define SL_MAX_STRIDES  8
#define SL_MAX_OUTPUTS  16

struct sl_input_contract {
    uint32_t width, height;
    uint32_t n_channels;
    uint32_t channels[SL_MAX_CHANNELS];                // enum sl_channel
    float mean[SL_MAX_CHANNELS], std[SL_MAX_CHANNELS]; // tensor = (pixel - mean) / std
    uint32_t fit;                                      // enum sl_fit
    uint8_t pad_value;
    float max_shift_px, max_rotation_deg; // beyond: the part cannot be judged
};

struct sl_head_contract {
    uint32_t type; // enum sl_head_type
    uint32_t n_outputs;
    const char *outputs[SL_MAX_OUTPUTS]; // names of the network's outputs, in the head's order
    uint32_t n_strides;
    uint32_t strides[SL_MAX_STRIDES];
    uint32_t n_anchors;                  // per stride; yolov5 only
    float anchors[SL_MAX_STRIDES][8][2]; // width, height in pixels of the input
    uint32_t peak_window;                // centre only
    float nms_iou;
    bool nms_per_class;
    uint32_t max_detections;
    float min_score; // candidates below are never looked at (evaluation works above this)
};

struct sl_class {
    const char *name;
    float threshold; // score from which a detection is a defect
};

// One golden picture: component names, and what must be found on it.
struct sl_golden {
    const char *picture, *reference, *expect; // reference NULL without such a channel
};

struct sl_model {
    const char *name, *version, *description, *licence;
    const char *network; // the component that holds it
    struct sl_input_contract input;
    struct sl_head_contract head;
    uint32_t n_classes;
    struct sl_class classes[SL_MAX_CLASSES];
    uint32_t n_golden;
    const struct sl_golden *golden;
    int64_t unpruned_macs; // 0: not known
    const struct sl_graph *graph;
    const struct sl_onnx *onnx;
    struct sl_model_source *source;
};

// Reads and checks model.yaml and the network, and that they fit each other (names, shapes, class
// count). Takes over the source: it is closed with the model, and on failure. An ONNX file without
// model.yaml is refused with what is missing.
int sl_model_load(struct sl_model_source *source, const struct sl_model **out,
                  struct sl_error *error);

// Immutable once loaded; any thread may hold a reference.
const struct sl_model *sl_model_ref(const struct sl_model *model);
void sl_model_unref(const struct sl_model *model); // NULL is fine

// True if a reference picture is part of the input.
bool sl_model_needs_reference(const struct sl_model *model);

// Multiply-accumulates of one node or of the network; `nonzero` counts only weights that are not 0.
struct sl_macs {
    int64_t dense, nonzero;
};
struct sl_macs sl_node_macs(const struct sl_graph *graph, const struct sl_node *node);
struct sl_macs sl_graph_macs(const struct sl_graph *graph);

#endif
