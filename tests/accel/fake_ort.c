// A library that claims to be ONNX Runtime: FAKE_ORT_VERSION is the version that it gives, and it
// knows no table at all. FAKE_ORT_VERSION not set: it gives no version and no base.
#include "accel/onnxruntime/ort_api.h"

#include <stdlib.h>

static const struct ort_table *no_table(uint32_t version)
{
    (void)version;
    return NULL;
}

static const char *version(void)
{
    return getenv("FAKE_ORT_VERSION");
}

__attribute__((visibility("default"))) const struct ort_base *OrtGetApiBase(void);

const struct ort_base *OrtGetApiBase(void)
{
    static const struct ort_base base = {no_table, version};
    return version() ? &base : NULL;
}
