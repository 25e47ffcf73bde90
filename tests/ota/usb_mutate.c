// Random changes to good sticks: none may crash the reader or keep it busy, and each is a listing
// or an error with its place. Says how many a second, and what the longest took.
//
//     usb_mutate [--runs N] [--seed S] FOLDER   (seeds of usb_seeds.py; N for each)
#include "usb_sparse.h"

#include "ota/usb/bytes.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SEED_BYTES = 1 << 20, MOST_READS = 200000 };
#define MOST_SECONDS 2.0 // for one run, under a sanitizer too

static struct sl_volume volume;
static struct sparse sparse;
static uint8_t original[SEED_BYTES], changed[SEED_BYTES];
static unsigned long runs = 2000, seed = 1, total, listed;
static uint32_t most_reads;
static double longest;

static uint64_t draw(uint64_t *state) // splitmix64
{
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// A number of 1, 2, 4 or 8 bytes at a place aligned to it: small, huge, near a power of two, or
// what stands somewhere else.
static void change(size_t size, uint64_t *state)
{
    static const uint64_t extremes[] = {0,          1,          2,          0x7F,       0x80,
                                        0xFF,       0xFFF7,     0xFFF8,     0xFFFF,     0x0FFFFFF7,
                                        0x0FFFFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF7, 0xFFFFFFFF,
                                        UINT64_MAX, 1ULL << 63, 1ULL << 32};
    const size_t records = (size - SPARSE_HEAD) / SPARSE_RECORD;
    const size_t width = 1u << draw(state) % 4;
    const size_t record = draw(state) % 3 ? draw(state) % records : draw(state) % records % 16;
    uint8_t *sector = changed + SPARSE_HEAD + record * SPARSE_RECORD + 4;
    uint8_t *place = sector + draw(state) % (512 / width) * width;
    uint8_t value[8];
    switch (draw(state) % 5) {
    case 0:
        sl_put64(value, extremes[draw(state) % (sizeof(extremes) / sizeof(extremes[0]))]);
        break;
    case 1:
        sl_put64(value, 1ULL << draw(state) % 64);
        break;
    case 2:
        sl_put64(value, sl_le32(place < sector + 508 ? place : sector) + draw(state) % 5 - 2);
        break;
    case 3:
        memcpy(value, original + SPARSE_HEAD + draw(state) % (size - SPARSE_HEAD - 8), 8);
        break;
    default:
        sl_put64(value, draw(state));
        break;
    }
    memcpy(place, value, width);
}

static void run(const char *name, size_t size, uint64_t *state, unsigned long number)
{
    memcpy(changed, original, size);
    for (uint64_t n = 1 + draw(state) % 4; number > 0 && n > 0; n--)
        change(size, state);
    const double begin = now();
    sparse_load(&sparse, changed, size);
    const int status = sparse_read(&sparse, &volume);
    const double took = now() - begin;
    total++;
    listed += status == 0;
    longest = took > longest ? took : longest;
    most_reads = sparse.reads > most_reads ? sparse.reads : most_reads;
    if ((number == 0 && (status != 0 || volume.count != 3)) || took > MOST_SECONDS ||
        sparse.reads > MOST_READS) {
        printf("%s: run %lu of seed %lu: status %d, %.2f s, %u reads\n", name, number, seed, status,
               took, sparse.reads);
        exit(1);
    }
}

static void run_seed(const char *folder, const char *name)
{
    char path[4096];
    uint64_t state = seed;
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    const size_t size = file ? fread(original, 1, sizeof(original), file) : 0;
    if (file)
        fclose(file);
    if (size < SPARSE_HEAD + SPARSE_RECORD)
        return;
    for (unsigned long i = 0; i <= runs; i++)
        run(name, size, &state, i);
}

int main(int argc, char **argv)
{
    const char *folder = NULL;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--runs") && i + 1 < argc)
            runs = strtoul(argv[++i], NULL, 10);
        else if (!strcmp(argv[i], "--seed") && i + 1 < argc)
            seed = strtoul(argv[++i], NULL, 10);
        else
            folder = argv[i];
    }
    DIR *dir = folder ? opendir(folder) : NULL;
    const struct dirent *entry;
    const double begin = now();
    while (dir && (entry = readdir(dir)))
        if (entry->d_name[0] != '.')
            run_seed(folder, entry->d_name);
    if (dir)
        closedir(dir);
    const double took = now() - begin;
    printf("%lu changed sticks, %lu still listed, %.0f a second; longest %.1f ms, most reads %u\n",
           total, listed, (double)total / took, 1000 * longest, most_reads);
    return total > 0 ? 0 : 77;
}
