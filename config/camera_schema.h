// Inside of config/camera: the schema that camera.yaml is loaded with.
#ifndef SL_CONFIG_CAMERA_SCHEMA_H
#define SL_CONFIG_CAMERA_SCHEMA_H

#include "config/camera.h"

// Every optional number has a default that stands for 0 as well, or has 0 as its default, or 0 lies
// outside of its limits: absent and 0 are the same to libcyaml 1.3.
extern const struct sl_yaml_schema camera_schema;

#endif
