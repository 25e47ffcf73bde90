// Sparkplug payloads from anybody: what a host application may write to us.
#include "mqtt/sparkplug/payload.h"

#include <stdlib.h>
#include <string.h>

static void take(void *ctx, const char *name, bool value)
{
    unsigned *taken = ctx;
    *taken += strlen(name) > 4 && value ? 2u : 1u;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    unsigned taken = 0;
    if (!sparkplug_decode_flags(bytes, size, take, &taken) && taken) {
        abort(); // refused, but acted on
    }
    if (taken > 2 * SPARKPLUG_READ) {
        abort();
    }
    return 0;
}
