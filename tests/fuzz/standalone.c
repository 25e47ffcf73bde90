// Runs a fuzz target without libFuzzer, so that every compiler's build has it: the files given, and
// seeded mutations of each.
//
//     fuzz_onnx [--mutations N] [--seed S] FILE-OR-DIRECTORY…
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

enum { MOST_BYTES = 1 << 20 };

static unsigned long mutations = 20, seed = 1, runs;

static uint64_t draw(uint64_t *state) // splitmix64
{
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

// Flips bits, sets bytes to extremes, copies a piece elsewhere, or cuts the end off.
static size_t mutate(uint8_t *bytes, size_t size, uint64_t *state)
{
    static const uint8_t extremes[] = {0x00, 0x01, 0x7F, 0x80, 0xFF};
    for (uint64_t n = 1 + draw(state) % 8; n > 0 && size > 0; n--) {
        size_t at = draw(state) % size, to = draw(state) % size;
        size_t room = size - (at > to ? at : to), length = 1 + draw(state) % room;
        switch (draw(state) % 4) {
        case 0:
            bytes[at] ^= (uint8_t)(1u << draw(state) % 8);
            break;
        case 1:
            bytes[at] = extremes[draw(state) % sizeof(extremes)];
            break;
        case 2:
            memmove(bytes + to, bytes + at, length < 64 ? length : 64);
            break;
        default:
            size = draw(state) % 8 ? size : at;
            break;
        }
    }
    return size;
}

// Each run gets memory of exactly its size, so that sanitizers see what is read beyond it.
static void run(const uint8_t *bytes, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy)
        abort();
    memcpy(copy, bytes, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
    runs++;
}

static void run_file(const char *path)
{
    static uint8_t original[MOST_BYTES], changed[MOST_BYTES];
    FILE *file = fopen(path, "rb");
    if (!file)
        return;
    const size_t size = fread(original, 1, sizeof(original), file);
    fclose(file);
    run(original, size);
    uint64_t state = seed;
    for (unsigned long i = 0; i < mutations; i++) {
        memcpy(changed, original, size);
        run(changed, mutate(changed, size, &state));
    }
}

static void run_path(const char *path, int depth)
{
    struct stat info;
    if (stat(path, &info) != 0 || depth > 8)
        return;
    if (!S_ISDIR(info.st_mode)) {
        run_file(path);
        return;
    }
    DIR *dir = opendir(path);
    const struct dirent *entry;
    while (dir && (entry = readdir(dir))) {
        char inner[4096];
        if (entry->d_name[0] == '.' ||
            snprintf(inner, sizeof(inner), "%s/%s", path, entry->d_name) >= (int)sizeof(inner))
            continue;
        run_path(inner, depth + 1);
    }
    if (dir)
        closedir(dir);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--mutations") && i + 1 < argc)
            mutations = strtoul(argv[++i], NULL, 10);
        else if (!strcmp(argv[i], "--seed") && i + 1 < argc)
            seed = strtoul(argv[++i], NULL, 10);
        else
            run_path(argv[i], 0);
    }
    printf("%lu runs, seed %lu\n", runs, seed);
    return runs > 0 ? 0 : 77; // no seeds here: skipped
}
