// AMX's tile registers in plain C, one set for each thread.
#include "tests/accel/tile_model.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TILES = 8, ROWS = 16, COLUMNS = 64 };

static _Thread_local struct {
    bool in_use;
    struct tile {
        uint32_t rows, columns; // columns: bytes
        unsigned char data[ROWS][COLUMNS];
    } tiles[TILES];
} model;

static void require(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "tile model: %s\n", what);
    abort();
}

void tile_model_configure(const void *config)
{
    const unsigned char *bytes = config;
    require(bytes[0] == 1, "a palette that is not 1");
    require(bytes[1] == 0, "a first row that is not 0");
    for (int i = 2; i < 16; i++)
        require(bytes[i] == 0, "reserved bytes are not 0");
    memset(&model, 0, sizeof(model));
    for (int i = 0; i < 16; i++) {
        uint32_t columns = bytes[16 + 2 * i] + 256u * bytes[17 + 2 * i], rows = bytes[48 + i];
        require(i < TILES || (columns == 0 && rows == 0), "there are 8 tiles");
        require(columns <= COLUMNS && rows <= ROWS, "a tile is larger than 16 rows of 64 bytes");
        require((columns == 0) == (rows == 0), "a tile has rows or columns alone");
        if (i < TILES) {
            model.tiles[i].columns = columns;
            model.tiles[i].rows = rows;
        }
    }
    model.in_use = true;
}

void tile_model_release(void)
{
    memset(&model, 0, sizeof(model));
}

static struct tile *find(int tile)
{
    require(model.in_use, "tiles are not configured");
    require(tile >= 0 && tile < TILES, "there are 8 tiles");
    require(model.tiles[tile].rows > 0, "the tile is not configured");
    return &model.tiles[tile];
}

void tile_model_load(int tile, const void *from, size_t stride)
{
    struct tile *t = find(tile);
    memset(t->data, 0, sizeof(t->data));
    for (uint32_t r = 0; r < t->rows; r++)
        memcpy(t->data[r], (const unsigned char *)from + r * stride, t->columns);
}

void tile_model_store(int tile, void *to, size_t stride)
{
    const struct tile *t = find(tile);
    for (uint32_t r = 0; r < t->rows; r++)
        memcpy((unsigned char *)to + r * stride, t->data[r], t->columns);
}

static void add_products(unsigned char *sum, const unsigned char *bytes, const unsigned char *chars)
{
    int32_t value;
    memcpy(&value, sum, sizeof(value));
    for (int i = 0; i < 4; i++)
        value = (int32_t)((uint32_t)value + (uint32_t)(bytes[i] * (int8_t)chars[i]));
    memcpy(sum, &value, sizeof(value));
}

void tile_model_dpbusd(int sums, int bytes, int chars)
{
    struct tile *y = find(sums);
    const struct tile *a = find(bytes), *b = find(chars);
    require(sums != bytes && sums != chars && bytes != chars, "operands are not three tiles");
    require(y->rows == a->rows && y->columns == b->columns && a->columns == 4 * b->rows,
            "the operands' shapes do not fit");
    require(y->columns % 4 == 0 && a->columns % 4 == 0, "columns are not whole words");
    for (uint32_t m = 0; m < y->rows; m++)
        for (uint32_t k = 0; k < b->rows; k++)
            for (uint32_t n = 0; n < y->columns; n += 4)
                add_products(y->data[m] + n, a->data[m] + 4 * k, b->data[k] + n);
}

bool tile_model_in_use(void)
{
    return model.in_use;
}
