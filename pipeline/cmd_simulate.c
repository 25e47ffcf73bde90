// `sightline simulate`: writes pictures of simulated boards in DeepPCB's layout.
#include "pipeline/line/board.h"

#include "inference/picture.h"

#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct options {
    const char *out, *reference;
    long count, size, quality;
    uint64_t seed, product_seed;
    bool varied_products;
    struct sl_line_params params;
};

enum {
    KEY_PRODUCT = 256,
    KEY_VARIED,
    KEY_REFERENCE,
    KEY_SIZE,
    KEY_QUALITY,
    KEY_RATE,
    KEY_DEFECTS,
    KEY_SHIFT,
    KEY_ROTATION,
    KEY_BLUR,
    KEY_NOISE,
    KEY_LIGHT,
};

static const struct argp_option rows[] = {
    {"out", 'o', "DIR", 0, "Folder for NAME_test.jpg, NAME_temp.jpg and NAME.txt", 0},
    {"count", 'n', "N", 0, "Number of boards (default 10)", 0},
    {"seed", 's', "N", 0, "Seed of the parts (default 1)", 0},
    {"product-seed", KEY_PRODUCT, "N", 0, "Seed of the golden board (default 1)", 0},
    {"varied-products", KEY_VARIED, NULL, 0, "A new golden board for every part", 0},
    {"reference", KEY_REFERENCE, "FILE", 0, "Write the golden picture as JPEG to FILE", 0},
    {"size", KEY_SIZE, "PIXELS", 0, "Side of the picture (default 640)", 0},
    {"quality", KEY_QUALITY, "1-100", 0, "JPEG quality (default 95)", 0},
    {"defect-rate", KEY_RATE, "0-1", 0, "Share of boards with defects", 1},
    {"max-defects", KEY_DEFECTS, "N", 0, "Most defects on such a board", 1},
    {"shift", KEY_SHIFT, "PIXELS", 0, "Boards lie up to this far off", 1},
    {"rotation", KEY_ROTATION, "DEGREES", 0, "and up to this turned", 1},
    {"blur", KEY_BLUR, "PIXELS", 0, "Sigma of the lens", 1},
    {"noise", KEY_NOISE, "LEVELS", 0, "Sigma of the sensor in grey levels", 1},
    {"light", KEY_LIGHT, "0-0.5", 0, "Unevenness of the light", 1},
    {0},
};

static double number(struct argp_state *state, const char *text, double min, double max)
{
    char *end;
    const double value = strtod(text, &end);
    if (end == text || *end || !(value >= min && value <= max))
        argp_error(state, "expected a number from %g to %g, found '%s'", min, max, text);
    return value;
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct options *o = state->input;
    double *const value[] = {&o->params.defect_rate, NULL,
                             &o->params.shift_px,    &o->params.rotation_deg,
                             &o->params.blur_px,     &o->params.noise,
                             &o->params.light};
    switch (key) {
    case 'o':
        o->out = text;
        return 0;
    case 'n':
        o->count = (long)number(state, text, 1, 1e6);
        return 0;
    case 's':
        o->seed = (uint64_t)number(state, text, 0, 9e15);
        return 0;
    case KEY_PRODUCT:
        o->product_seed = (uint64_t)number(state, text, 0, 9e15);
        return 0;
    case KEY_VARIED:
        o->varied_products = true;
        return 0;
    case KEY_REFERENCE:
        o->reference = text;
        return 0;
    case KEY_SIZE:
        o->size = (long)number(state, text, SL_LINE_MIN_SIDE, SL_LINE_MAX_SIDE);
        return 0;
    case KEY_QUALITY:
        o->quality = (long)number(state, text, 1, 100);
        return 0;
    case KEY_DEFECTS:
        o->params.max_defects = (uint32_t)number(state, text, 0, SL_LINE_MAX_DEFECTS);
        return 0;
    case KEY_RATE:
    case KEY_SHIFT:
    case KEY_ROTATION:
    case KEY_BLUR:
    case KEY_NOISE:
    case KEY_LIGHT:
        *value[key - KEY_RATE] = number(state, text, 0, 100);
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected argument '%s'", text);
        return 0;
    case ARGP_KEY_END:
        if (!o->out && !o->reference)
            argp_error(state, "give --out DIR or --reference FILE");
        if (sl_line_params_problem(&o->params))
            argp_error(state, "%s is out of range", sl_line_params_problem(&o->params));
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static int complain(const char *path)
{
    fprintf(stderr, "sightline simulate: %s: %s\n", path, strerror(errno));
    return -1;
}

static int write_file(const char *path, const void *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");
    if (!file)
        return complain(path);
    const bool written = fwrite(bytes, 1, size, file) == size;
    if ((fclose(file) != 0) | !written)
        return complain(path);
    return 0;
}

static int write_picture(const char *path, const uint8_t *pixels, const struct options *o)
{
    const uint32_t side = (uint32_t)o->size;
    const struct sl_picture picture = {SL_PIXELS_GREY, side, side, {pixels}, {side}};
    struct sl_error error;
    uint8_t *bytes = NULL;
    size_t capacity = 0, size;
    int status = sl_jpeg_encode(&picture, (int)o->quality, &bytes, &capacity, &size, &error);
    if (status < 0)
        fprintf(stderr, "sightline simulate: %s: %s\n", path, error.message);
    else
        status = write_file(path, bytes, size);
    free(bytes);
    return status;
}

static int write_truth(const char *path, const struct sl_line_truth *truth)
{
    char text[SL_LINE_MAX_DEFECTS * 32];
    size_t used = 0;
    for (uint32_t i = 0; i < truth->count; i++) {
        const struct sl_line_defect *d = &truth->defects[i];
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%d %d %d %d %" PRIu32 "\n",
                                 (int)d->x1, (int)d->y1, (int)(d->x2 + 0.5f), (int)(d->y2 + 0.5f),
                                 d->class_id + 1);
    }
    return write_file(path, text, used);
}

static int write_part(struct sl_line_product *product, const struct options *o, long index,
                      uint8_t *pixels)
{
    struct sl_line_truth truth;
    char path[4096];
    const uint64_t seed = o->seed * 1000003 + (uint64_t)index;
    if (sl_line_board_render(product, seed, &o->params, pixels, (uint32_t)o->size, &truth) < 0)
        return -1;
    snprintf(path, sizeof(path), "%s/%06ld_test.jpg", o->out, index);
    if (write_picture(path, pixels, o) < 0)
        return -1;
    snprintf(path, sizeof(path), "%s/%06ld_temp.jpg", o->out, index);
    if (write_picture(path, sl_line_product_picture(product), o) < 0)
        return -1;
    snprintf(path, sizeof(path), "%s/%06ld.txt", o->out, index);
    return write_truth(path, &truth);
}

static struct sl_line_product *make_product(const struct options *o, long index)
{
    struct sl_line_product *product = NULL;
    const uint64_t seed = o->product_seed + (o->varied_products ? (uint64_t)index : 0);
    const uint32_t side = (uint32_t)o->size;
    const int status = sl_line_product_new(side, side, seed, &product);
    if (status < 0)
        fprintf(stderr, "sightline simulate: a board of %ld x %ld pixels: %s%s\n", o->size, o->size,
                strerror(-status), status == -EINVAL ? "; sides are multiples of 8" : "");
    return product;
}

static int write_parts(const struct options *o)
{
    const bool progress = isatty(STDERR_FILENO);
    struct sl_line_product *product = NULL;
    uint8_t *pixels = malloc((size_t)o->size * (size_t)o->size);
    int status = pixels ? 0 : -1;
    for (long i = 0; status == 0 && i < o->count; i++) {
        if (!product || o->varied_products) {
            sl_line_product_free(product);
            product = make_product(o, i);
        }
        status = product ? write_part(product, o, i, pixels) : -1;
        if (progress && (i + 1) % 50 == 0)
            fprintf(stderr, "\r%ld of %ld boards", i + 1, o->count);
    }
    if (progress && o->count >= 50)
        fputc('\n', stderr);
    sl_line_product_free(product);
    free(pixels);
    return status;
}

static int write_reference(const struct options *o)
{
    struct sl_line_product *product = make_product(o, 0);
    const int status =
        product ? write_picture(o->reference, sl_line_product_picture(product), o) : -1;
    sl_line_product_free(product);
    return status;
}

int main(int argc, char **argv)
{
    static const char doc[] =
        "Writes pictures of simulated circuit boards with known defects, in DeepPCB's layout.";
    const struct argp argp = {rows, parse, NULL, doc, NULL, NULL, NULL};
    struct options o = {.count = 10,
                        .size = 640,
                        .quality = 95,
                        .seed = 1,
                        .product_seed = 1,
                        .params = sl_line_default_params};
    argp_program_version = "sightline simulate " SIGHTLINE_VERSION;
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, 0, NULL, &o);
    if (o.out && mkdir(o.out, 0777) < 0 && errno != EEXIST)
        return complain(o.out) < 0;
    if (o.reference && write_reference(&o) < 0)
        return 1;
    return o.out && write_parts(&o) < 0;
}
