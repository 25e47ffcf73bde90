// Inside of dataset*.c: the layouts, and the readers of their labels.
#ifndef SL_INFERENCE_DATASET_IMPL_H
#define SL_INFERENCE_DATASET_IMPL_H

#include "inference/dataset.h"

#include <stdio.h>

enum { MOST_LABELS = 4096, LABEL_LIMIT = 1 << 20 };

// What a label reader needs to know about the picture and the model.
struct label_context {
    const char *file; // for messages
    const struct sl_class *classes;
    uint32_t n_classes;
    uint32_t width, height;
};

// Fills in *out (rows of MOST_LABELS room) from the bytes of one label file; `bytes` ends with a 0.
int labels_of_lines(const struct label_context *context, bool yolo, char *bytes,
                    struct sl_truth *out, struct sl_error *error);
int labels_of_voc(const struct label_context *context, const char *bytes, size_t size,
                  struct sl_truth *out, struct sl_error *error);

// Is part of the box, an edge at least, in the picture?
static inline bool label_meets_picture(const struct label_context *c,
                                       const struct sl_detection *box)
{
    return box->x1 <= (float)c->width && box->y1 <= (float)c->height && box->x2 >= 0 &&
           box->y2 >= 0;
}

// The class that goes by this name, or n_classes.
uint32_t class_of_name(const struct label_context *context, const char *name);

// A file of instances. `pictures` and the text in it belong to it; sorted by id.
struct coco_picture {
    int64_t id;
    char *file_name;
    uint32_t width, height; // 0: not said
};
struct sl_coco;
int coco_read(const char *name, FILE *file, struct sl_coco **out, struct sl_error *error);
void coco_free(struct sl_coco *coco); // NULL is fine
uint32_t coco_pictures(const struct sl_coco *coco, const struct coco_picture **out);
int coco_labels(const struct sl_coco *coco, uint32_t picture, const struct label_context *context,
                struct sl_truth *out, struct sl_error *error);

// dataset_scan.c: adds the samples of a layout to *out; none if the layout is not there.
int scan_deeppcb(const char *path, struct sl_dataset *out, struct sl_error *error);
int scan_voc(const char *path, struct sl_dataset *out, struct sl_error *error);
int scan_coco(const char *path, struct sl_dataset *out, struct sl_error *error);
int scan_yolo(const char *path, struct sl_dataset *out, struct sl_error *error);

#endif
