// The nearest valid word to one that was mistyped.
#include "config/yaml_walk.h"

#include <string.h>

#define WORD_MAX 48

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
    unsigned m = a < b ? a : b;
    return m < c ? m : c;
}

// Damerau-Levenshtein distance in its restricted form (optimal string alignment): insertions,
// deletions, substitutions and swaps of neighbours each cost one.
static unsigned distance(const char *a, size_t na, const char *b, size_t nb)
{
    unsigned rows[3][WORD_MAX + 1];
    unsigned *before = rows[0], *last = rows[1], *now = rows[2];
    for (size_t j = 0; j <= nb; j++) {
        last[j] = (unsigned)j;
    }
    for (size_t i = 1; i <= na; i++) {
        now[0] = (unsigned)i;
        for (size_t j = 1; j <= nb; j++) {
            unsigned cost = a[i - 1] != b[j - 1];
            now[j] = min3(last[j] + 1, now[j - 1] + 1, last[j - 1] + cost);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                before[j - 2] + 1 < now[j]) {
                now[j] = before[j - 2] + 1;
            }
        }
        unsigned *spare = before;
        before = last;
        last = now;
        now = spare;
    }
    return last[nb];
}

const char *yaml_nearest(const char *word, const cyaml_schema_field_t *fields)
{
    size_t length = strlen(word);
    if (length > WORD_MAX) {
        return NULL;
    }
    const char *best = NULL;
    unsigned best_distance = (unsigned)(length + 2) / 3 + 1; // a third of the letters may be wrong
    for (; fields->key; fields++) {
        size_t n = strlen(fields->key);
        if (n > WORD_MAX) {
            continue;
        }
        unsigned d = distance(word, length, fields->key, n);
        if (d < best_distance) {
            best_distance = d;
            best = fields->key;
        }
    }
    return best;
}
