// Fuzz target: any bytes are a model.yaml or an error that names the file and, from the text on,
// the line.
#include "inference/model_yaml.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct sl_yaml_error error = {""};
    void *data = NULL;
    if (sl_yaml_load("fuzz.yaml", (const char *)bytes, size, &model_yaml_schema, &data, &error) ==
        0) {
        sl_yaml_free(&model_yaml_schema, data);
        return 0;
    }
    // Every fault is found on the walk, with its line, before libcyaml sees the text.
    if (data || strncmp(error.message, "fuzz.yaml:", 10) != 0 ||
        (size <= 1u << 20 && error.message[10] == ' '))
        abort();
    return 0;
}
