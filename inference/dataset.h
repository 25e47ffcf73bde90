// Pictures with known objects on disk, for evaluation. Pictures are JPEG files.
//
// Layouts, recognised in this order by what is there:
//   deeppcb   NAME_test.jpg, NAME_temp.jpg (the template), NAME.txt: `x1 y1 x2 y2 type`, in pixels,
//             types from 1
//   voc       JPEGImages/NAME.jpg and Annotations/NAME.xml, or NAME.jpg beside NAME.xml: Pascal
//   VOC's
//             form; pixels count from 1 and both corners belong to the box
//   coco      one JSON file of instances in annotations/, or in the folder itself if its name has
//             "instances", "annotations" or "coco" in it, or the path of the file; the pictures
//             beside it, in images/ or in a folder of its split's name, there or one level up
//   yolo      images/NAME.jpg, labels/NAME.txt: `class cx cy w h`, classes from 0, shares of the
//             picture's size
// Only the first two have "difficult" or template pictures; voc and coco name their classes, the
// others number them.
#ifndef SL_INFERENCE_DATASET_H
#define SL_INFERENCE_DATASET_H

#include "inference/metrics.h"
#include "inference/model.h"

#include <stddef.h>

enum sl_dataset_format {
    SL_DATASET_ANY,
    SL_DATASET_DEEPPCB,
    SL_DATASET_VOC,
    SL_DATASET_COCO,
    SL_DATASET_YOLO
};
// 0 for a name that is none.
enum sl_dataset_format sl_dataset_format_of_name(const char *name);

struct sl_sample {
    char *name, *picture, *reference, *labels; // paths; reference and labels may be NULL
    uint32_t id;                               // coco: of the picture in the file of instances
};

struct sl_coco;

struct sl_dataset {
    enum sl_dataset_format format;
    uint32_t count;
    struct sl_sample *samples; // sorted by name; coco: by the pictures' ids
    struct sl_coco *coco;      // coco: all labels
};

struct sl_truth {
    uint32_t count;
    struct sl_label *rows;
};

// SL_DATASET_ANY: the layout is recognised. -ENOENT: no such folder or nothing in it, the message
// says what was looked for. A file of instances is read here, as a stream: about 60 bytes of memory
// for each object, at most 4 million objects and 1 million pictures; mistakes in it are -EINVAL
// with file, line, and the place in it.
int sl_dataset_open(const char *path, enum sl_dataset_format format, struct sl_dataset *out,
                    struct sl_error *error);
void sl_dataset_close(struct sl_dataset *dataset);

// The definition that datasets of this layout are judged by, unless somebody wants another one.
enum sl_metric sl_dataset_metric(const struct sl_dataset *dataset);

// The labels of one picture; -EINVAL names the file and line. `width` and `height` are the
// picture's; where the labels say otherwise they were made for another one. Classes by name are
// found in `classes` (letters' case, blanks, - and _ make no difference); NULL: nobody knows them.
int sl_dataset_truth(const struct sl_dataset *dataset, uint32_t sample,
                     const struct sl_class *classes, uint32_t n_classes, uint32_t width,
                     uint32_t height, struct sl_truth *out, struct sl_error *error);
void sl_truth_free(struct sl_truth *truth);

// A whole file; to be freed by the caller.
int sl_read_file(const char *path, size_t limit, void **bytes, size_t *size,
                 struct sl_error *error);

#endif
