// Inside of config/camera: the section `accelerator` of a camera, and the configuration string of
// the ladder (accel/ladder/ladder.h) that it stands for.
#ifndef SL_CONFIG_CAMERA_ACCELERATOR_H
#define SL_CONFIG_CAMERA_ACCELERATOR_H

#include "config/camera.h"

// Fields of `struct sl_config_accelerator`, and their limits for the schema's table.
extern const cyaml_schema_field_t accelerator_fields[];
#define ACCELERATOR_RANGES                                                                         \
    {"cameras[].accelerator.strikes", 1, 1000000}, {"cameras[].accelerator.retry_ms", 1, 3600000}, \
        {"cameras[].accelerator.cross_check", 0, 1000000000},                                      \
        {"cameras[].accelerator.tolerance_permille", 1, 1000},                                     \
    {                                                                                              \
        "cameras[].accelerator.steps[].deadline_ms", 1, 3600000                                    \
    }

#define ACCELERATOR_MAX 255 // characters of a configuration string

// Writes the configuration string. -EINVAL: the reason is in `problem`; -E2BIG: too long.
int accelerator_compose(const struct sl_config_accelerator *section, char *text, size_t size,
                        char *problem, size_t problem_size);

#endif
