// The size of the second-level cache, from sysfs: cpu0/cache/index*/{level,type,size}.
#include "accel/cpu/cache.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

// No cache of a single processor is larger.
#define MAX_KIB 65536u

static bool read_word(const char *sysfs, int index, const char *name, char word[16])
{
    char path[256];
    int length = snprintf(path, sizeof(path), "%s/devices/system/cpu/cpu0/cache/index%d/%s", sysfs,
                          index, name);
    FILE *file = length > 0 && (size_t)length < sizeof(path) ? fopen(path, "re") : NULL;
    bool found = file && fscanf(file, "%15s", word) == 1;
    if (file)
        fclose(file);
    return found;
}

size_t cpu_cache_bytes(const char *sysfs)
{
    char word[16];
    for (int index = 0; read_word(sysfs, index, "level", word); index++) {
        unsigned kib;
        char unit;
        if (strcmp(word, "2") != 0 || !read_word(sysfs, index, "type", word) ||
            strcmp(word, "Instruction") == 0 || !read_word(sysfs, index, "size", word))
            continue;
        if (sscanf(word, "%8u%c", &kib, &unit) == 2 && unit == 'K' && kib > 0 && kib <= MAX_KIB)
            return (size_t)kib << 10;
    }
    return CPU_CACHE_DEFAULT;
}
