// model.yaml as the file says it; model.c turns it into the contracts of model.h.
#ifndef SL_INFERENCE_MODEL_YAML_H
#define SL_INFERENCE_MODEL_YAML_H

#include "config/yaml.h"

#include <stdbool.h>
#include <stdint.h>

struct yaml_anchor {
    double *size; // width, height
    uint32_t size_count;
};

struct yaml_anchors { // of one stride
    struct yaml_anchor *anchors;
    uint32_t anchors_count;
};

struct yaml_register {
    double shift_px, rotation_deg;
};

struct yaml_input {
    uint32_t width, height;
    int *channels;
    uint32_t channels_count;
    double *mean, *std;
    uint32_t mean_count, std_count;
    uint32_t fit;
    uint32_t pad_value;
    struct yaml_register *register_limit;
};

struct yaml_head {
    uint32_t type;
    char **outputs;
    uint32_t outputs_count;
    uint32_t *strides;
    uint32_t strides_count;
    struct yaml_anchors *anchors;
    uint32_t anchors_count;
    uint32_t peak_window;
    double nms_iou;
    bool nms_per_class;
    uint32_t max_detections;
    double min_score;
};

struct yaml_class {
    char *name;
    double threshold;
};

struct yaml_golden {
    char *picture, *reference, *expect;
};

struct yaml_model {
    uint32_t schema;
    char *name, *version, *description, *network, *licence;
    struct yaml_input input;
    struct yaml_head head;
    struct yaml_class *classes;
    uint32_t classes_count;
    uint64_t unpruned_macs;
    struct yaml_golden *golden;
    uint32_t golden_count;
};

extern const struct sl_yaml_schema model_yaml_schema;

#endif
