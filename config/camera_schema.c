// The schema of camera.yaml: which keys there are, of which type and within which limits.
#include "config/camera_schema.h"

#include "config/camera_accelerator.h"

#include <stdlib.h>
#include <string.h>

#define OPTIONAL      CYAML_FLAG_OPTIONAL
#define TEXT          CYAML_FLAG_POINTER
#define OPTIONAL_TEXT (CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL)
#define OPTIONAL_LIST (CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL)
#define OPTIONAL_ENUM (CYAML_FLAG_STRICT | CYAML_FLAG_OPTIONAL)
#define COUNT(table)  (sizeof(table) / sizeof((table)[0]))

static const cyaml_strval_t types[] = {
    {"v4l2", SL_SOURCE_V4L2},
    {"pictures", SL_SOURCE_PICTURES},
    {"line", SL_SOURCE_LINE},
    {"custom", SL_SOURCE_CUSTOM},
};
static const cyaml_strval_t formats[] = {
    {"mjpeg", SL_FORMAT_MJPEG},
    {"yuyv", SL_FORMAT_YUYV},
    {"grey", SL_FORMAT_GREY},
    {"nv12", SL_FORMAT_NV12},
};
static const cyaml_strval_t line_formats[] = {{"mjpeg", SL_FORMAT_MJPEG}, {"grey", SL_FORMAT_GREY}};
static const cyaml_strval_t modes[] = {{"free-run", SL_PART_FREE_RUN},
                                       {"trigger", SL_PART_TRIGGER}};
static const cyaml_strval_t combines[] = {{"any-ng", SL_COMBINE_ANY_NG},
                                          {"majority", SL_COMBINE_MAJORITY}};

static const cyaml_schema_field_t control_fields[] = {
    CYAML_FIELD_STRING_PTR("name", TEXT, struct sl_config_control, name, 1, 63),
    CYAML_FIELD_INT("value", CYAML_FLAG_DEFAULT, struct sl_config_control, value),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t control_value = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct sl_config_control, control_fields)};

static const cyaml_schema_field_t v4l2_fields[] = {
    CYAML_FIELD_STRING_PTR("device", TEXT, struct sl_config_v4l2, device, 1, 255),
    CYAML_FIELD_ENUM("format", OPTIONAL_ENUM, struct sl_config_v4l2, format, formats,
                     COUNT(formats)),
    CYAML_FIELD_UINT("width", CYAML_FLAG_DEFAULT, struct sl_config_v4l2, width),
    CYAML_FIELD_UINT("height", CYAML_FLAG_DEFAULT, struct sl_config_v4l2, height),
    CYAML_FIELD_FLOAT("rate", OPTIONAL, struct sl_config_v4l2, rate),
    CYAML_FIELD_SEQUENCE("controls", OPTIONAL_LIST, struct sl_config_v4l2, controls, &control_value,
                         0, 64),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t pictures_fields[] = {
    CYAML_FIELD_STRING_PTR("directory", TEXT, struct sl_config_pictures, directory, 1, 4095),
    CYAML_FIELD_FLOAT("rate", OPTIONAL, struct sl_config_pictures, rate),
    CYAML_FIELD_BOOL("loop", OPTIONAL, struct sl_config_pictures, loop),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t line_fields[] = {
    CYAML_FIELD_UINT("product_seed", OPTIONAL, struct sl_config_line, product_seed),
    CYAML_FIELD_UINT("seed", OPTIONAL, struct sl_config_line, seed),
    CYAML_FIELD_FLOAT("rate", OPTIONAL, struct sl_config_line, rate),
    CYAML_FIELD_FLOAT("defect_rate", CYAML_FLAG_DEFAULT, struct sl_config_line, defect_rate),
    CYAML_FIELD_FLOAT("blur_px", OPTIONAL, struct sl_config_line, blur_px),
    CYAML_FIELD_FLOAT("noise", OPTIONAL, struct sl_config_line, noise),
    CYAML_FIELD_FLOAT("light", OPTIONAL, struct sl_config_line, light),
    CYAML_FIELD_FLOAT("shift_px", OPTIONAL, struct sl_config_line, shift_px),
    CYAML_FIELD_FLOAT("rotation_deg", OPTIONAL, struct sl_config_line, rotation_deg),
    CYAML_FIELD_UINT("width", OPTIONAL, struct sl_config_line, width),
    CYAML_FIELD_UINT("height", OPTIONAL, struct sl_config_line, height),
    CYAML_FIELD_ENUM("format", OPTIONAL_ENUM, struct sl_config_line, format, line_formats,
                     COUNT(line_formats)),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t custom_fields[] = {
    CYAML_FIELD_STRING_PTR("launch", TEXT, struct sl_config_custom, launch, 1, 4095),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t source_fields[] = {
    CYAML_FIELD_ENUM("type", CYAML_FLAG_STRICT, struct sl_config_source, type, types, COUNT(types)),
    CYAML_FIELD_MAPPING_PTR("v4l2", OPTIONAL_TEXT, struct sl_config_source, v4l2, v4l2_fields),
    CYAML_FIELD_MAPPING_PTR("pictures", OPTIONAL_TEXT, struct sl_config_source, pictures,
                            pictures_fields),
    CYAML_FIELD_MAPPING_PTR("line", OPTIONAL_TEXT, struct sl_config_source, line, line_fields),
    CYAML_FIELD_MAPPING_PTR("custom", OPTIONAL_TEXT, struct sl_config_source, custom,
                            custom_fields),
    CYAML_FIELD_UINT("stall_ms", OPTIONAL, struct sl_config_source, stall_ms),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t threshold_fields[] = {
    CYAML_FIELD_STRING_PTR("class", TEXT, struct sl_config_threshold, class_name, 1, 31),
    CYAML_FIELD_FLOAT("threshold", CYAML_FLAG_DEFAULT, struct sl_config_threshold, threshold),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t threshold_value = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct sl_config_threshold, threshold_fields)};

static const cyaml_schema_field_t point_fields[] = {
    CYAML_FIELD_FLOAT("x", CYAML_FLAG_DEFAULT, struct sl_config_point, x),
    CYAML_FIELD_FLOAT("y", CYAML_FLAG_DEFAULT, struct sl_config_point, y),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t point_value = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct sl_config_point, point_fields)};
static const cyaml_schema_field_t mask_fields[] = {
    CYAML_FIELD_SEQUENCE("points", CYAML_FLAG_POINTER, struct sl_config_mask, points, &point_value,
                         3, 256),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t mask_value = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct sl_config_mask, mask_fields)};

static const cyaml_schema_field_t model_fields[] = {
    CYAML_FIELD_STRING_PTR("path", TEXT, struct sl_config_model, path, 1, 4095),
    CYAML_FIELD_STRING_PTR("backend", OPTIONAL_TEXT, struct sl_config_model, backend, 1, 255),
    CYAML_FIELD_SEQUENCE("thresholds", OPTIONAL_LIST, struct sl_config_model, thresholds,
                         &threshold_value, 0, 256),
    CYAML_FIELD_SEQUENCE("masks", OPTIONAL_LIST, struct sl_config_model, masks, &mask_value, 0, 64),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t recipe_fields[] = {
    CYAML_FIELD_STRING_PTR("name", TEXT, struct sl_config_recipe, name, 1, 63),
    CYAML_FIELD_STRING_PTR("model", OPTIONAL_TEXT, struct sl_config_recipe, model, 1, 4095),
    CYAML_FIELD_STRING_PTR("reference", OPTIONAL_TEXT, struct sl_config_recipe, reference, 1, 4095),
    CYAML_FIELD_SEQUENCE("thresholds", OPTIONAL_LIST, struct sl_config_recipe, thresholds,
                         &threshold_value, 0, 256),
    CYAML_FIELD_SEQUENCE("masks", OPTIONAL_LIST, struct sl_config_recipe, masks, &mask_value, 0,
                         64),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t recipe_value = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct sl_config_recipe, recipe_fields)};

static const cyaml_schema_field_t part_fields[] = {
    CYAML_FIELD_ENUM("mode", OPTIONAL_ENUM, struct sl_config_part, mode, modes, COUNT(modes)),
    CYAML_FIELD_UINT("frames", OPTIONAL, struct sl_config_part, frames),
    CYAML_FIELD_ENUM("combine", OPTIONAL_ENUM, struct sl_config_part, combine, combines,
                     COUNT(combines)),
    CYAML_FIELD_UINT("deadline_ms", OPTIONAL, struct sl_config_part, deadline_ms),
    CYAML_FIELD_STRING_PTR("recipe", OPTIONAL_TEXT, struct sl_config_part, recipe, 1, 63),
    CYAML_FIELD_STRING_PTR("reference", OPTIONAL_TEXT, struct sl_config_part, reference, 1, 4095),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t camera_fields[] = {
    CYAML_FIELD_STRING_PTR("name", TEXT, struct sl_config_camera, name, 1, 63),
    CYAML_FIELD_MAPPING("source", CYAML_FLAG_DEFAULT, struct sl_config_camera, source,
                        source_fields),
    CYAML_FIELD_MAPPING("model", CYAML_FLAG_DEFAULT, struct sl_config_camera, model, model_fields),
    CYAML_FIELD_MAPPING("part", OPTIONAL, struct sl_config_camera, part, part_fields),
    CYAML_FIELD_MAPPING_PTR("accelerator", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                            struct sl_config_camera, accelerator, accelerator_fields),
    CYAML_FIELD_SEQUENCE("recipes", OPTIONAL_LIST, struct sl_config_camera, recipes, &recipe_value,
                         0, 1000),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t camera_value = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct sl_config_camera, camera_fields)};

#define BROKER_TEXT(key, max)                                                                      \
    CYAML_FIELD_STRING_PTR(#key, OPTIONAL_TEXT, struct sl_config_broker, key, 1, max)

#define SPARKPLUG_TEXT(key, flags)                                                                 \
    CYAML_FIELD_STRING_PTR(#key, flags, struct sl_config_sparkplug, key, 1, 64)

static const cyaml_schema_field_t sparkplug_fields[] = {
    SPARKPLUG_TEXT(group, TEXT),
    SPARKPLUG_TEXT(node, OPTIONAL_TEXT),
    SPARKPLUG_TEXT(primary_host, OPTIONAL_TEXT),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t broker_fields[] = {
    BROKER_TEXT(host, 253),
    CYAML_FIELD_UINT("port", OPTIONAL, struct sl_config_broker, port),
    BROKER_TEXT(username, 255),
    BROKER_TEXT(password_file, 4095),
    BROKER_TEXT(ca_file, 4095),
    BROKER_TEXT(certificate_file, 4095),
    BROKER_TEXT(key_file, 4095),
    BROKER_TEXT(psk_identity, 128),
    BROKER_TEXT(psk_file, 4095),
    BROKER_TEXT(root, 200),
    BROKER_TEXT(client_id, 64),
    BROKER_TEXT(discovery, 64),
    CYAML_FIELD_MAPPING_PTR("sparkplug", OPTIONAL_TEXT, struct sl_config_broker, sparkplug,
                            sparkplug_fields),
    CYAML_FIELD_UINT("keepalive_s", OPTIONAL, struct sl_config_broker, keepalive_s),
    CYAML_FIELD_UINT("queue", OPTIONAL, struct sl_config_broker, queue),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t ledger_fields[] = {
    CYAML_FIELD_STRING_PTR("path", OPTIONAL_TEXT, struct sl_config_ledger, path, 1, 4000),
    CYAML_FIELD_UINT("max_mb", OPTIONAL, struct sl_config_ledger, max_mb),
    CYAML_FIELD_UINT("max_records", OPTIONAL, struct sl_config_ledger, max_records),
    CYAML_FIELD_UINT("history_rate", OPTIONAL, struct sl_config_ledger, history_rate),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t evidence_fields[] = {
    CYAML_FIELD_FLOAT("ok_share", OPTIONAL, struct sl_config_evidence, ok_share),
    CYAML_FIELD_UINT("max_mb", OPTIONAL, struct sl_config_evidence, max_mb),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t root_fields[] = {
    CYAML_FIELD_UINT("schema", CYAML_FLAG_DEFAULT, struct sl_config, schema),
    CYAML_FIELD_MAPPING("broker", OPTIONAL, struct sl_config, broker, broker_fields),
    CYAML_FIELD_MAPPING("ledger", OPTIONAL, struct sl_config, ledger, ledger_fields),
    CYAML_FIELD_MAPPING("evidence", OPTIONAL, struct sl_config, evidence, evidence_fields),
    CYAML_FIELD_SEQUENCE("cameras", CYAML_FLAG_POINTER, struct sl_config, cameras, &camera_value, 1,
                         16),
    CYAML_FIELD_UINT("metrics_interval_s", OPTIONAL, struct sl_config, metrics_interval_s),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t root_value = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct sl_config, root_fields)};

static const struct sl_yaml_range ranges[] = {
    {"schema", 1, 1},
    {"metrics_interval_s", 1, 3600},
    {"broker.port", 1, 65535},
    {"broker.keepalive_s", 5, 3600},
    {"broker.queue", 1, 100000},
    {"ledger.max_mb", 1, 1048576},
    {"ledger.max_records", 100, 1000000000},
    {"ledger.history_rate", 1, 100000},
    {"evidence.ok_share", 0, 1},
    {"evidence.max_mb", 1, 1048576},
    {"cameras[].source.stall_ms", 50, 600000},
    {"cameras[].source.v4l2.width", 16, 16384},
    {"cameras[].source.v4l2.height", 16, 16384},
    {"cameras[].source.v4l2.rate", 0.1, 1000},
    {"cameras[].source.pictures.rate", 0, 1000},
    {"cameras[].source.line.rate", 0.1, 1000},
    {"cameras[].source.line.defect_rate", 0, 1},
    {"cameras[].source.line.blur_px", 0, 2},
    {"cameras[].source.line.noise", 0, 40},
    {"cameras[].source.line.light", 0, 0.5},
    {"cameras[].source.line.shift_px", 0, 100},
    {"cameras[].source.line.rotation_deg", 0, 10},
    {"cameras[].source.line.width", 64, 4096},
    {"cameras[].source.line.height", 64, 4096},
    {"cameras[].model.thresholds[].threshold", 0, 1},
    {"cameras[].recipes[].thresholds[].threshold", 0, 1},
    {"cameras[].recipes[].masks[].points[].x", 0, 16384},
    {"cameras[].recipes[].masks[].points[].y", 0, 16384},
    ACCELERATOR_RANGES,
    {"cameras[].model.masks[].points[].x", 0, 16384},
    {"cameras[].model.masks[].points[].y", 0, 16384},
    {"cameras[].part.frames", 1, 64},
    {"cameras[].part.deadline_ms", 1, 600000},
    {NULL, 0, 0},
};

const struct sl_yaml_schema camera_schema = {&root_value, ranges};

// Two sections are the same if they would be written the same.
static bool same(const cyaml_schema_value_t *schema, const void *a, const void *b)
{
    const cyaml_config_t config = {.mem_fn = cyaml_mem, .log_level = CYAML_LOG_ERROR};
    const void *const sections[2] = {a, b};
    char *text[2] = {NULL, NULL};
    size_t length[2] = {0, 0};
    bool equal = true;
    for (int i = 0; i < 2 && equal; i++)
        equal = cyaml_save_data(&text[i], &length[i], &config, schema,
                                (cyaml_data_t *)(uintptr_t)sections[i], 0) == CYAML_OK;
    equal = equal && length[0] == length[1] && memcmp(text[0], text[1], length[0]) == 0;
    free(text[0]);
    free(text[1]);
    return equal;
}

bool sl_config_camera_equal(const struct sl_config_camera *a, const struct sl_config_camera *b)
{
    static const cyaml_schema_value_t schema = {
        CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct sl_config_camera, camera_fields)};
    return same(&schema, a, b);
}

bool sl_config_broker_equal(const struct sl_config_broker *a, const struct sl_config_broker *b)
{
    static const cyaml_schema_value_t schema = {
        CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct sl_config_broker, broker_fields)};
    return same(&schema, a, b);
}

bool sl_config_ledger_equal(const struct sl_config_ledger *a, const struct sl_config_ledger *b)
{
    static const cyaml_schema_value_t schema = {
        CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct sl_config_ledger, ledger_fields)};
    return same(&schema, a, b);
}

bool sl_config_evidence_equal(const struct sl_config_evidence *a,
                              const struct sl_config_evidence *b)
{
    static const cyaml_schema_value_t schema = {
        CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct sl_config_evidence, evidence_fields)};
    return same(&schema, a, b);
}
