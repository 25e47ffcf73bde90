// The schema of model.yaml.
#include "inference/model_yaml.h"

#include "inference/model.h"

#define TEXT          CYAML_FLAG_POINTER
#define OPTIONAL      CYAML_FLAG_OPTIONAL
#define OPTIONAL_TEXT (CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL)
#define LIST          CYAML_FLAG_POINTER
#define OPTIONAL_LIST (CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL)
#define COUNT(table)  (sizeof(table) / sizeof((table)[0]))

static const cyaml_strval_t channels[] = {
    {"picture", SL_CHANNEL_PICTURE},
    {"reference", SL_CHANNEL_REFERENCE},
    {"r", SL_CHANNEL_R},
    {"g", SL_CHANNEL_G},
    {"b", SL_CHANNEL_B},
};
static const cyaml_strval_t fits[] = {{"stretch", SL_FIT_STRETCH}, {"letterbox", SL_FIT_LETTERBOX}};
static const cyaml_strval_t heads[] = {
    {"centre", SL_HEAD_CENTRE},
    {"yolox", SL_HEAD_YOLOX},
    {"yolov5", SL_HEAD_YOLOV5},
    {"yolov8", SL_HEAD_YOLOV8},
    {"fastestdet", SL_HEAD_FASTESTDET},
};

static const cyaml_schema_value_t channel_value = {
    CYAML_VALUE_ENUM(CYAML_FLAG_STRICT, int, channels, COUNT(channels))};
static const cyaml_schema_value_t number_value = {CYAML_VALUE_FLOAT(CYAML_FLAG_DEFAULT, double)};
static const cyaml_schema_value_t count_value = {CYAML_VALUE_UINT(CYAML_FLAG_DEFAULT, uint32_t)};
static const cyaml_schema_value_t text_value = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char *, 1, 255)};

static const cyaml_schema_field_t register_fields[] = {
    CYAML_FIELD_FLOAT("shift_px", CYAML_FLAG_DEFAULT, struct yaml_register, shift_px),
    CYAML_FIELD_FLOAT("rotation_deg", CYAML_FLAG_DEFAULT, struct yaml_register, rotation_deg),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t input_fields[] = {
    CYAML_FIELD_UINT("width", CYAML_FLAG_DEFAULT, struct yaml_input, width),
    CYAML_FIELD_UINT("height", CYAML_FLAG_DEFAULT, struct yaml_input, height),
    CYAML_FIELD_SEQUENCE("channels", LIST, struct yaml_input, channels, &channel_value, 1,
                         SL_MAX_CHANNELS),
    CYAML_FIELD_SEQUENCE("mean", OPTIONAL_LIST, struct yaml_input, mean, &number_value, 1,
                         SL_MAX_CHANNELS),
    CYAML_FIELD_SEQUENCE("std", OPTIONAL_LIST, struct yaml_input, std, &number_value, 1,
                         SL_MAX_CHANNELS),
    CYAML_FIELD_ENUM("fit", CYAML_FLAG_STRICT | OPTIONAL, struct yaml_input, fit, fits,
                     COUNT(fits)),
    CYAML_FIELD_UINT("pad_value", OPTIONAL, struct yaml_input, pad_value),
    CYAML_FIELD_MAPPING_PTR("register_limit", OPTIONAL_TEXT, struct yaml_input, register_limit,
                            register_fields),
    CYAML_FIELD_END,
};

static const cyaml_schema_value_t anchor_value = {CYAML_VALUE_MAPPING(
    CYAML_FLAG_DEFAULT, struct yaml_anchor,
    ((const cyaml_schema_field_t[]){
        CYAML_FIELD_SEQUENCE("size", LIST, struct yaml_anchor, size, &number_value, 2, 2),
        CYAML_FIELD_END,
    }))};
static const cyaml_schema_field_t anchors_fields[] = {
    CYAML_FIELD_SEQUENCE("anchors", LIST, struct yaml_anchors, anchors, &anchor_value, 1, 8),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t anchors_value = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct yaml_anchors, anchors_fields)};

static const cyaml_schema_field_t head_fields[] = {
    CYAML_FIELD_ENUM("type", CYAML_FLAG_STRICT, struct yaml_head, type, heads, COUNT(heads)),
    CYAML_FIELD_SEQUENCE("outputs", LIST, struct yaml_head, outputs, &text_value, 1,
                         SL_MAX_OUTPUTS),
    CYAML_FIELD_SEQUENCE("strides", LIST, struct yaml_head, strides, &count_value, 1,
                         SL_MAX_STRIDES),
    CYAML_FIELD_SEQUENCE("anchors", OPTIONAL_LIST, struct yaml_head, anchors, &anchors_value, 0,
                         SL_MAX_STRIDES),
    CYAML_FIELD_UINT("peak_window", OPTIONAL, struct yaml_head, peak_window),
    CYAML_FIELD_FLOAT("nms_iou", OPTIONAL, struct yaml_head, nms_iou),
    CYAML_FIELD_BOOL("nms_per_class", OPTIONAL, struct yaml_head, nms_per_class),
    CYAML_FIELD_UINT("max_detections", OPTIONAL, struct yaml_head, max_detections),
    CYAML_FIELD_FLOAT("min_score", OPTIONAL, struct yaml_head, min_score),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t class_fields[] = {
    CYAML_FIELD_STRING_PTR("name", TEXT, struct yaml_class, name, 1, 31),
    CYAML_FIELD_FLOAT("threshold", CYAML_FLAG_DEFAULT, struct yaml_class, threshold),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t class_value = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct yaml_class, class_fields)};

static const cyaml_schema_field_t golden_fields[] = {
    CYAML_FIELD_STRING_PTR("picture", TEXT, struct yaml_golden, picture, 1, 255),
    CYAML_FIELD_STRING_PTR("reference", OPTIONAL_TEXT, struct yaml_golden, reference, 1, 255),
    CYAML_FIELD_STRING_PTR("expect", TEXT, struct yaml_golden, expect, 1, 255),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t golden_value = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct yaml_golden, golden_fields)};

static const cyaml_schema_field_t model_fields[] = {
    CYAML_FIELD_UINT("schema", CYAML_FLAG_DEFAULT, struct yaml_model, schema),
    CYAML_FIELD_STRING_PTR("name", TEXT, struct yaml_model, name, 1, 31),
    CYAML_FIELD_STRING_PTR("version", TEXT, struct yaml_model, version, 1, 31),
    CYAML_FIELD_STRING_PTR("description", OPTIONAL_TEXT, struct yaml_model, description, 0, 1023),
    CYAML_FIELD_STRING_PTR("network", TEXT, struct yaml_model, network, 1, 255),
    CYAML_FIELD_STRING_PTR("licence", OPTIONAL_TEXT, struct yaml_model, licence, 1, 255),
    CYAML_FIELD_MAPPING("input", CYAML_FLAG_DEFAULT, struct yaml_model, input, input_fields),
    CYAML_FIELD_MAPPING("head", CYAML_FLAG_DEFAULT, struct yaml_model, head, head_fields),
    CYAML_FIELD_SEQUENCE("classes", LIST, struct yaml_model, classes, &class_value, 1,
                         SL_MAX_CLASSES),
    CYAML_FIELD_UINT("unpruned_macs", OPTIONAL, struct yaml_model, unpruned_macs),
    CYAML_FIELD_SEQUENCE("golden", OPTIONAL_LIST, struct yaml_model, golden, &golden_value, 0, 64),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t model_value = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct yaml_model, model_fields)};

static const struct sl_yaml_range ranges[] = {
    {"schema", 1, 1},
    {"input.width", 8, 16384},
    {"input.height", 8, 16384},
    {"input.mean[]", -1e6, 1e6},
    {"input.std[]", 1e-6, 1e6},
    {"input.pad_value", 0, 255},
    {"input.register_limit.shift_px", 0, 200},
    {"input.register_limit.rotation_deg", 0, 10},
    {"head.strides[]", 1, 256},
    {"head.anchors[].anchors[].size[]", 0.1, 16384},
    {"head.peak_window", 1, 31},
    {"head.nms_iou", 0.01, 1},
    {"head.max_detections", 1, 300},
    {"head.min_score", 0.001, 1},
    {"classes[].threshold", 0, 1},
    {NULL, 0, 0},
};

const struct sl_yaml_schema model_yaml_schema = {&model_value, ranges};
