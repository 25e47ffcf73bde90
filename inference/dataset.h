// Pictures with known defects on disk, for evaluation.
//
// Two layouts are recognised by what is there:
//   DeepPCB   NAME_test.jpg, NAME_temp.jpg (the template), NAME.txt: `x1 y1 x2 y2 type`, in pixels,
//             types from 1
//   YOLO      images/NAME.jpg, labels/NAME.txt: `class cx cy w h`, classes from 0, shares of the
//             picture's size
#ifndef SL_INFERENCE_DATASET_H
#define SL_INFERENCE_DATASET_H

#include "inference/metrics.h"

#include <stddef.h>

struct sl_sample {
    char *name, *picture, *reference, *labels; // paths; reference and labels may be NULL
    bool yolo;                                 // the layout
};

struct sl_dataset {
    uint32_t count;
    struct sl_sample *samples; // sorted by name
};

struct sl_truth {
    uint32_t count;
    struct sl_label *rows;
};

// -ENOENT: no such folder or nothing in it, the message says what was looked for.
int sl_dataset_open(const char *folder, struct sl_dataset *out, struct sl_error *error);
void sl_dataset_close(struct sl_dataset *dataset);

// The definition that datasets of this layout are judged by, unless somebody wants another one.
enum sl_metric sl_dataset_metric(const struct sl_dataset *dataset);

// Reads one label file; -EINVAL names the file and line. `width` and `height` are the picture's.
int sl_dataset_truth(const struct sl_sample *sample, uint32_t n_classes, uint32_t width,
                     uint32_t height, struct sl_truth *out, struct sl_error *error);
void sl_truth_free(struct sl_truth *truth);

// A whole file; to be freed by the caller.
int sl_read_file(const char *path, size_t limit, void **bytes, size_t *size,
                 struct sl_error *error);

#endif
