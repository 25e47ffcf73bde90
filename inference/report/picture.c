// Pictures as data in a page.
#include "inference/report/picture.h"

#include "inference/dataset.h"
#include "inference/picture.h"
#include "inference/report/html.h"

#include <errno.h>
#include <stdlib.h>

enum { FILE_LIMIT = 64 << 20, WIDEST = 720, QUALITY = 80 };

struct shown {
    uint32_t width, height; // of the whole picture
    uint8_t *jpeg;
    size_t size, capacity;
};

static int make_smaller(struct sl_jpeg *jpeg, const void *bytes, size_t size, struct shown *out,
                        struct sl_error *error)
{
    struct sl_picture picture;
    uint32_t scale = 1;
    int status = sl_jpeg_size(jpeg, bytes, size, &out->width, &out->height, error);
    if (status < 0)
        return status;
    while (scale < 8 && out->width / scale > WIDEST)
        scale *= 2;
    const uint32_t width = (out->width + scale - 1) / scale;
    const size_t need = (size_t)width * ((out->height + scale - 1) / scale) * 3;
    const struct sl_jpeg_request request = {.pixels = SL_PIXELS_RGB, .scale = scale};
    uint8_t *pixels = malloc(need);
    status = pixels ? sl_jpeg_decode(jpeg, bytes, size, &request, pixels, width * 3, need, &picture,
                                     error)
                    : sl_error_set(error, -ENOMEM, "out of memory");
    if (status == 0)
        status = sl_jpeg_encode(&picture, QUALITY, &out->jpeg, &out->capacity, &out->size, error);
    free(pixels);
    return status;
}

static int load(const char *path, struct shown *out, struct sl_error *error)
{
    struct sl_jpeg *jpeg = NULL;
    void *bytes = NULL;
    size_t size;
    int status = sl_jpeg_new(&jpeg, error);
    if (status == 0)
        status = sl_read_file(path, FILE_LIMIT, &bytes, &size, error);
    if (status == 0)
        status = make_smaller(jpeg, bytes, size, out, error);
    free(bytes);
    sl_jpeg_free(jpeg);
    return status < 0 ? sl_error_prefix(error, status, "%s", path) : 0;
}

static void draw(FILE *out, const struct sl_class *classes, const struct sl_marked *m, float unit)
{
    static const struct {
        const char *what, *colour, *more;
    } looks[] = {{"hit", "#2da44e", ""},
                 {"false alarm", "#ff3b30", ""},
                 {"missed", "#ffd60a", " stroke-dasharray=\"6 4\""},
                 {"ignored", "#8c959f", ""}};
    const struct sl_detection *b = &m->box;
    fprintf(out,
            "<g><rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"none\" "
            "stroke=\"%s\" stroke-width=\"2\" vector-effect=\"non-scaling-stroke\"%s/>",
            (double)b->x1, (double)b->y1, (double)(b->x2 - b->x1), (double)(b->y2 - b->y1),
            looks[m->outcome].colour, looks[m->outcome].more);
    fprintf(out,
            "<text x=\"%.1f\" y=\"%.1f\" font-size=\"%.1f\" stroke=\"#000\" stroke-width=\"%.2f\" "
            "paint-order=\"stroke\">",
            (double)b->x1, (double)(b->y1 > 14 * unit ? b->y1 - 3 * unit : b->y2 + 13 * unit),
            (double)(12 * unit), (double)(3 * unit));
    html_text(out, classes[b->class_id].name);
    if (m->outcome == SL_OUTCOME_MISSED)
        fputs(" missed", out);
    else
        fprintf(out, " %.2f", (double)b->score);
    fputs("</text><title>", out);
    html_text(out, classes[b->class_id].name);
    fprintf(out, ": %s</title></g>", looks[m->outcome].what);
}

int report_picture(FILE *out, const char *path, const struct sl_class *classes,
                   const struct sl_marked *marked, uint32_t count, const char *what,
                   struct sl_error *error)
{
    struct shown s = {0};
    const int status = load(path, &s, error);
    if (status == 0) {
        fprintf(out, "<svg class=\"on-picture\" role=\"img\" viewBox=\"0 0 %u %u\" aria-label=\"",
                s.width, s.height);
        html_text(out, what);
        fprintf(out, "\"><image width=\"%u\" height=\"%u\" href=\"data:image/jpeg;base64,", s.width,
                s.height);
        html_base64(out, s.jpeg, s.size);
        fputs("\"/>", out);
        for (uint32_t i = 0; i < count; i++)
            draw(out, classes, &marked[i], (float)s.width / 420);
        fputs("</svg>", out);
    }
    free(s.jpeg);
    return status;
}
