// Reading evaluation folders.
#include "inference/dataset.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LABEL_LIMIT = 1 << 20, MOST_LABELS = 4096 };

int sl_read_file(const char *path, size_t limit, void **bytes, size_t *size, struct sl_error *error)
{
    struct stat info;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return sl_error_set(error, -errno, "%s: %s", path, strerror(errno));
    int status = 0;
    char *buffer = NULL;
    size_t used = 0;
    if (fstat(fd, &info) < 0 || !S_ISREG(info.st_mode))
        status = sl_error_set(error, -EINVAL, "%s: not a regular file", path);
    else if (info.st_size < 0 || (uint64_t)info.st_size > limit)
        status = sl_error_set(error, -EFBIG, "%s: larger than %zu bytes", path, limit);
    else if (!(buffer = malloc((size_t)info.st_size + 1)))
        status = sl_error_set(error, -ENOMEM, "%s: out of memory", path);
    while (status == 0 && used < (size_t)info.st_size) {
        const ssize_t n = read(fd, buffer + used, (size_t)info.st_size - used);
        if (n == 0)
            break;
        if (n < 0 && errno != EINTR)
            status = sl_error_set(error, -errno, "%s: %s", path, strerror(errno));
        used += n > 0 ? (size_t)n : 0;
    }
    close(fd);
    if (status < 0) {
        free(buffer);
        return status;
    }
    buffer[used] = '\0';
    *bytes = buffer;
    *size = used;
    return 0;
}

static char *join(const char *folder, const char *name, const char *end)
{
    char *path = NULL;
    return asprintf(&path, "%s/%s%s", folder, name, end) < 0 ? NULL : path;
}

// The path if the file is there, else NULL.
static char *existing(const char *folder, const char *name, const char *end)
{
    char *path = join(folder, name, end);
    if (path && access(path, R_OK) != 0) {
        free(path);
        return NULL;
    }
    return path;
}

static const char *ending(const char *name, const char *end)
{
    const size_t n = strlen(name), m = strlen(end);
    return n > m && !strcmp(name + n - m, end) ? name + n - m : NULL;
}

static int add_sample(struct sl_dataset *out, bool yolo, const char *name, char *picture,
                      char *reference, char *labels)
{
    struct sl_sample *grown = realloc(out->samples, (out->count + 1) * sizeof(*grown));
    char *copy = strdup(name);
    if (grown)
        out->samples = grown;
    if (!grown || !copy || !picture) {
        free(copy);
        free(picture);
        free(reference);
        free(labels);
        return -ENOMEM;
    }
    out->samples[out->count++] = (struct sl_sample){copy, picture, reference, labels, yolo};
    return 0;
}

static int add_deeppcb(const char *folder, const char *name, const char *end,
                       struct sl_dataset *out)
{
    char stem[256];
    snprintf(stem, sizeof(stem), "%.*s", (int)(end - name), name);
    return add_sample(out, false, stem, join(folder, name, ""), existing(folder, stem, "_temp.jpg"),
                      existing(folder, stem, ".txt"));
}

static int add_yolo(const char *root, const char *name, const char *end, struct sl_dataset *out)
{
    char stem[256], below[300];
    snprintf(stem, sizeof(stem), "%.*s", (int)(end - name), name);
    snprintf(below, sizeof(below), "labels/%s", stem);
    char pictured[300];
    snprintf(pictured, sizeof(pictured), "images/%s", name);
    return add_sample(out, true, stem, join(root, pictured, ""), NULL,
                      existing(root, below, ".txt"));
}

static int by_name(const void *a, const void *b)
{
    return strverscmp(((const struct sl_sample *)a)->name, ((const struct sl_sample *)b)->name);
}

static int scan(const char *root, const char *sub, const char *end,
                int (*add)(const char *, const char *, const char *, struct sl_dataset *),
                struct sl_dataset *out)
{
    char *path = join(root, sub, "");
    DIR *dir = path ? opendir(path) : NULL;
    const struct dirent *entry;
    int status = 0;
    while (dir && status == 0 && (entry = readdir(dir))) {
        const char *at = entry->d_name[0] == '.' ? NULL : ending(entry->d_name, end);
        if (at)
            status = add(root, entry->d_name, at, out);
    }
    if (dir)
        closedir(dir);
    free(path);
    return status;
}

int sl_dataset_open(const char *folder, struct sl_dataset *out, struct sl_error *error)
{
    struct sl_dataset found = {0, NULL};
    struct stat info;
    if (stat(folder, &info) < 0 || !S_ISDIR(info.st_mode))
        return sl_error_set(error, -ENOENT, "dataset '%s': no such folder", folder);
    int status = scan(folder, ".", "_test.jpg", add_deeppcb, &found);
    if (status == 0 && found.count == 0)
        status = scan(folder, "images", ".jpg", add_yolo, &found);
    if (status < 0) {
        sl_dataset_close(&found);
        return sl_error_set(error, status, "dataset '%s': out of memory", folder);
    }
    if (found.count == 0)
        return sl_error_set(error, -ENOENT,
                            "dataset '%s': no NAME_test.jpg and no images/NAME.jpg in it", folder);
    qsort(found.samples, found.count, sizeof(*found.samples), by_name);
    *out = found;
    return 0;
}

void sl_dataset_close(struct sl_dataset *dataset)
{
    for (uint32_t i = 0; i < dataset->count; i++) {
        free(dataset->samples[i].name);
        free(dataset->samples[i].picture);
        free(dataset->samples[i].reference);
        free(dataset->samples[i].labels);
    }
    free(dataset->samples);
    *dataset = (struct sl_dataset){0, NULL};
}

enum sl_metric sl_dataset_metric(const struct sl_dataset *dataset)
{
    return dataset->count && dataset->samples[0].yolo ? SL_METRIC_COCO : SL_METRIC_DEEPPCB;
}

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

static bool to_box(const double v[5], bool yolo, uint32_t n_classes, float width, float height,
                   struct sl_label *label)
{
    const double class_id = yolo ? v[0] : v[4] - 1;
    if (class_id < 0 || class_id >= n_classes || class_id != (double)(uint32_t)class_id)
        return false;
    struct sl_detection *out = &label->box;
    if (yolo)
        *out = (struct sl_detection){(float)(v[1] - v[3] / 2) * width,
                                     (float)(v[2] - v[4] / 2) * height,
                                     (float)(v[1] + v[3] / 2) * width,
                                     (float)(v[2] + v[4] / 2) * height,
                                     1,
                                     (uint32_t)class_id};
    else
        *out = (struct sl_detection){(float)v[0], (float)v[1], (float)v[2],
                                     (float)v[3], 1,           (uint32_t)class_id};
    label->use = SL_LABEL_COUNTS;
    label->area_px = (double)(out->x2 - out->x1) * (double)(out->y2 - out->y1);
    return out->x1 < out->x2 && out->y1 < out->y2;
}

int sl_dataset_truth(const struct sl_sample *sample, uint32_t n_classes, uint32_t width,
                     uint32_t height, struct sl_truth *out, struct sl_error *error)
{
    void *bytes = NULL;
    size_t size = 0;
    struct sl_truth truth = {0, NULL};
    int status = 0;
    if (sample->labels)
        status = sl_read_file(sample->labels, LABEL_LIMIT, &bytes, &size, error);
    if (status == 0 && !(truth.rows = calloc(MOST_LABELS, sizeof(*truth.rows))))
        status = sl_error_set(error, -ENOMEM, "out of memory");
    char *rest = bytes, *line;
    const bool yolo = sample->yolo;
    for (int number = 1; status == 0 && bytes && (line = strsep(&rest, "\n")); number++) {
        double values[5];
        if (line[strspn(line, " \t\r")] == '\0')
            continue;
        if (truth.count == MOST_LABELS)
            status = sl_error_set(error, -E2BIG, "%s:%d: more than %d labels", sample->labels,
                                  number, MOST_LABELS);
        else if (!parse_line(line, values) || !to_box(values, yolo, n_classes, (float)width,
                                                      (float)height, &truth.rows[truth.count++]))
            status = sl_error_set(
                error, -EINVAL, "%s:%d: expected %s with %u classes, found '%.60s'", sample->labels,
                number, yolo ? "'class cx cy w h'" : "'x1 y1 x2 y2 type'", n_classes, line);
    }
    free(bytes);
    if (status < 0)
        sl_truth_free(&truth);
    else
        *out = truth;
    return status;
}

void sl_truth_free(struct sl_truth *truth)
{
    free(truth->rows);
    *truth = (struct sl_truth){0, NULL};
}
