// Datasets: which layout, and the labels of one picture.
#include "inference/dataset.h"

#include "inference/dataset_impl.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// In the order in which they are looked for. A folder images/ alone may be YOLO's without labels.
static const struct layout {
    enum sl_dataset_format format;
    const char *name, *what;
    enum sl_metric metric;
    bool sorted; // by name
    int (*scan)(const char *path, struct sl_dataset *out, struct sl_error *error);
} layouts[] = {
    {SL_DATASET_DEEPPCB, "deeppcb", "NAME_test.jpg", SL_METRIC_DEEPPCB, true, scan_deeppcb},
    {SL_DATASET_VOC, "voc", "Annotations/NAME.xml or NAME.xml beside NAME.jpg", SL_METRIC_VOC, true,
     scan_voc},
    {SL_DATASET_COCO, "coco", "annotations/NAME.json or NAME.json", SL_METRIC_COCO, false,
     scan_coco},
    {SL_DATASET_YOLO, "yolo", "images/NAME.jpg", SL_METRIC_COCO, true, scan_yolo},
};
enum { N_LAYOUTS = sizeof(layouts) / sizeof(layouts[0]) };

int sl_read_file(const char *path, size_t limit, void **bytes, size_t *size, struct sl_error *error)
{
    struct stat info;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); // a pipe is not waited for
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

enum sl_dataset_format sl_dataset_format_of_name(const char *name)
{
    for (int i = 0; i < N_LAYOUTS; i++)
        if (!strcmp(name, layouts[i].name))
            return layouts[i].format;
    return SL_DATASET_ANY;
}

static const struct layout *layout_of(enum sl_dataset_format format)
{
    int i = 0;
    while (layouts[i].format != format)
        i++;
    return &layouts[i];
}

enum sl_metric sl_dataset_metric(const struct sl_dataset *dataset)
{
    return layout_of(dataset->format)->metric;
}

static int by_name(const void *a, const void *b)
{
    return strverscmp(((const struct sl_sample *)a)->name, ((const struct sl_sample *)b)->name);
}

static bool has_labels_folder(const char *path)
{
    char *labels = NULL;
    struct stat info;
    const bool there = asprintf(&labels, "%s/labels", path) > 0 && stat(labels, &info) == 0 &&
                       S_ISDIR(info.st_mode);
    free(labels);
    return there;
}

// -ENOENT: nothing of this layout there, without a message.
static int open_as(const char *path, const struct layout *layout, struct sl_dataset *out,
                   struct sl_error *error)
{
    struct sl_dataset found = {.format = layout->format};
    struct sl_error inner = {""};
    int status = layout->scan(path, &found, &inner);
    if (status == 0 && found.count == 0)
        status = -ENOENT;
    if (status < 0) {
        sl_dataset_close(&found);
        if (status == -ENOMEM)
            return sl_error_set(error, status, "dataset '%s': out of memory", path);
        return *inner.message ? sl_error_set(error, -EINVAL, "%s", inner.message) : status;
    }
    if (layout->sorted)
        qsort(found.samples, found.count, sizeof(*found.samples), by_name);
    *out = found;
    return 0;
}

static int recognise(const char *path, struct sl_dataset *out, struct sl_error *error)
{
    int status = -ENOENT;
    if (has_labels_folder(path))
        status = open_as(path, layout_of(SL_DATASET_YOLO), out, error);
    for (int i = 0; status == -ENOENT && i < N_LAYOUTS; i++)
        status = open_as(path, &layouts[i], out, error);
    return status;
}

int sl_dataset_open(const char *path, enum sl_dataset_format format, struct sl_dataset *out,
                    struct sl_error *error)
{
    struct stat info;
    if (stat(path, &info) < 0)
        return sl_error_set(error, -ENOENT, "dataset '%s': no such folder", path);
    if (!S_ISDIR(info.st_mode) && format == SL_DATASET_ANY)
        format = SL_DATASET_COCO;
    const int status = format == SL_DATASET_ANY ? recognise(path, out, error)
                                                : open_as(path, layout_of(format), out, error);
    if (status != -ENOENT)
        return status;
    if (format != SL_DATASET_ANY)
        return sl_error_set(error, status, "dataset '%s': no %s in it", path,
                            layout_of(format)->what);
    return sl_error_set(
        error, status,
        "dataset '%s': no NAME_test.jpg, no Annotations/NAME.xml, no "
        "annotations/NAME.json and no images/NAME.jpg in it (pictures must be JPEG)",
        path);
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
    coco_free(dataset->coco);
    *dataset = (struct sl_dataset){0};
}

// The next letter of a name, in lower case; blanks, - and _ are one.
static int plain(const char *c)
{
    return *c == ' ' || *c == '-' ? '_' : tolower((unsigned char)*c);
}

uint32_t class_of_name(const struct label_context *context, const char *name)
{
    for (uint32_t i = 0; i < context->n_classes; i++) {
        const char *a = context->classes[i].name, *b = name;
        while (*a && plain(a) == plain(b))
            a++, b++;
        if (*a == '\0' && *b == '\0')
            return i;
    }
    return context->n_classes;
}

static int read_labels(const struct sl_dataset *dataset, const struct sl_sample *sample,
                       struct label_context *context, struct sl_truth *out, struct sl_error *error)
{
    void *bytes = NULL;
    size_t size = 0;
    if (dataset->format == SL_DATASET_COCO)
        return coco_labels(dataset->coco, sample->id, context, out, error);
    if (!sample->labels)
        return 0;
    context->file = sample->labels;
    int status = sl_read_file(sample->labels, LABEL_LIMIT, &bytes, &size, error);
    if (status == 0 && memchr(bytes, '\0', size))
        status =
            sl_error_set(error, -EINVAL, "%s: expected text, found a zero byte", sample->labels);
    if (status == 0 && dataset->format == SL_DATASET_VOC)
        status = labels_of_voc(context, bytes, size, out, error);
    else if (status == 0)
        status = labels_of_lines(context, dataset->format == SL_DATASET_YOLO, bytes, out, error);
    free(bytes);
    return status;
}

int sl_dataset_truth(const struct sl_dataset *dataset, uint32_t sample,
                     const struct sl_class *classes, uint32_t n_classes, uint32_t width,
                     uint32_t height, struct sl_truth *out, struct sl_error *error)
{
    const struct sl_sample *s = &dataset->samples[sample];
    struct label_context context = {
        .classes = classes, .n_classes = n_classes, .width = width, .height = height};
    struct sl_truth truth = {0, NULL};
    if (!classes && (dataset->format == SL_DATASET_VOC || dataset->format == SL_DATASET_COCO))
        return sl_error_set(error, -ENOTSUP,
                            "%s: its labels name their classes, and no model says which those are",
                            s->picture);
    truth.rows = calloc(MOST_LABELS, sizeof(*truth.rows));
    int status = truth.rows ? read_labels(dataset, s, &context, &truth, error)
                            : sl_error_set(error, -ENOMEM, "out of memory");
    for (uint32_t i = 0; i < truth.count && status == 0; i++) {
        const struct sl_detection *box = &truth.rows[i].box;
        if (!label_meets_picture(&context, box))
            status = sl_error_set(error, -EINVAL,
                                  "%s: label %u: expected a box in the picture of %u x %u pixels, "
                                  "found %g, %g to %g, %g",
                                  s->picture, i + 1, width, height, (double)box->x1,
                                  (double)box->y1, (double)box->x2, (double)box->y2);
    }
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
