// Labels as lines of numbers: DeepPCB's and YOLO's.
#include "inference/dataset_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// Five numbers on a line, and nothing else.
static bool parse_line(const char *line, double values[5])
{
    for (int i = 0; i < 5; i++) {
        char *end;
        while (*line == ' ' || *line == ',' || *line == '\t')
            line++;
        values[i] = strtod(line, &end);
        if (end == line || !(values[i] >= -1e6 && values[i] <= 1e6))
            return false;
        line = end;
    }
    return line[strspn(line, " ,\t\r")] == '\0';
}

// Shares of the picture's sides reach 1, and programs that write them round.
#define MOST_SHARE 1.01

static bool to_label(const struct label_context *c, const double v[5], bool yolo,
                     struct sl_label *out)
{
    const double class_id = yolo ? v[0] : v[4] - 1;
    const float width = (float)c->width, height = (float)c->height;
    struct sl_detection *box = &out->box;
    if (class_id < 0 || class_id >= c->n_classes || class_id != (double)(uint32_t)class_id)
        return false;
    for (int i = 1; yolo && i < 5; i++)
        if (!(v[i] >= 0 && v[i] <= MOST_SHARE))
            return false;
    if (yolo)
        *box = (struct sl_detection){.x1 = (float)(v[1] - v[3] / 2) * width,
                                     .y1 = (float)(v[2] - v[4] / 2) * height,
                                     .x2 = (float)(v[1] + v[3] / 2) * width,
                                     .y2 = (float)(v[2] + v[4] / 2) * height};
    else
        *box = (struct sl_detection){
            .x1 = (float)v[0], .y1 = (float)v[1], .x2 = (float)v[2], .y2 = (float)v[3]};
    box->score = 1;
    box->class_id = (uint32_t)class_id;
    out->use = SL_LABEL_COUNTS;
    out->area_px = (double)(box->x2 - box->x1) * (double)(box->y2 - box->y1);
    return box->x1 < box->x2 && box->y1 < box->y2;
}

int labels_of_lines(const struct label_context *c, bool yolo, char *bytes, struct sl_truth *out,
                    struct sl_error *error)
{
    static const char mark[] = "\xef\xbb\xbf"; // of byte order, as some editors write it
    char *rest = strncmp(bytes, mark, strlen(mark)) ? bytes : bytes + strlen(mark), *line;
    for (int number = 1; (line = strsep(&rest, "\n")); number++) {
        double values[5];
        if (line[strspn(line, " \t\r")] == '\0')
            continue;
        if (out->count == MOST_LABELS)
            return sl_error_set(error, -E2BIG, "%s:%d: more than %d labels", c->file, number,
                                MOST_LABELS);
        if (!parse_line(line, values) || !to_label(c, values, yolo, &out->rows[out->count]))
            return sl_error_set(error, -EINVAL, "%s:%d: expected %s with %u classes, found '%.60s'",
                                c->file, number,
                                yolo ? "'class cx cy w h' in shares of the picture's sides"
                                     : "'x1 y1 x2 y2 type'",
                                c->n_classes, line);
        if (!label_meets_picture(c, &out->rows[out->count].box))
            return sl_error_set(
                error, -EINVAL,
                "%s:%d: expected a box in the picture of %u x %u pixels, found '%.60s'", c->file,
                number, c->width, c->height, line);
        out->count++;
    }
    return 0;
}
