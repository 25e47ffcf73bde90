// Fuzz target: any bytes are labels, in each of the four forms, or an error with the file's name.
#include "inference/dataset_impl.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static const struct sl_class classes[] = {{"dog", 0.5f}, {"cat", 0.5f}, {"traffic light", 0.5f}};
static const struct label_context context = {"labels", classes, 3, 640, 480};
static struct sl_label rows[MOST_LABELS];

static void check(int status, const struct sl_truth *truth, const struct sl_error *error)
{
    if (status < 0 ? strncmp(error->message, "labels", 6) != 0 : truth->count > MOST_LABELS)
        abort();
    for (uint32_t i = 0; status == 0 && i < truth->count; i++)
        if (!(truth->rows[i].box.x1 <= truth->rows[i].box.x2) ||
            !(truth->rows[i].box.y1 <= truth->rows[i].box.y2) || truth->rows[i].box.class_id >= 3)
            abort();
}

static void read_lines(const uint8_t *bytes, size_t size, bool yolo)
{
    struct sl_truth truth = {0, rows};
    struct sl_error error = {""};
    char *text = malloc(size + 1);
    if (!text)
        return;
    memcpy(text, bytes, size);
    text[size] = '\0';
    check(labels_of_lines(&context, yolo, text, &truth, &error), &truth, &error);
    free(text);
}

static void read_coco(const uint8_t *bytes, size_t size)
{
    struct sl_error error = {""};
    struct sl_coco *coco;
    const struct coco_picture *pictures;
    FILE *file = size ? fmemopen((void *)(uintptr_t)bytes, size, "r") : NULL;
    if (!file)
        return;
    int status = coco_read("labels", file, &coco, &error);
    fclose(file);
    if (status < 0) {
        check(status, NULL, &error);
        return;
    }
    const uint32_t count = coco_pictures(coco, &pictures);
    for (uint32_t i = 0; i < count; i++) {
        struct sl_truth truth = {0, rows};
        check(coco_labels(coco, i, &context, &truth, &error), &truth, &error);
    }
    coco_free(coco);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct sl_truth truth = {0, rows};
    struct sl_error error = {""};
    read_lines(bytes, size, false);
    read_lines(bytes, size, true);
    read_coco(bytes, size);
    check(labels_of_voc(&context, (const char *)bytes, size, &truth, &error), &truth, &error);
    return 0;
}
