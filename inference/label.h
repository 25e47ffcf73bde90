// What a person marked on a picture.
#ifndef SL_INFERENCE_LABEL_H
#define SL_INFERENCE_LABEL_H

#include "inference/detect.h"

enum sl_label_use {
    SL_LABEL_COUNTS,  // is to be found
    SL_LABEL_IGNORED, // finding it is neither right nor wrong (Pascal VOC's "difficult")
    SL_LABEL_CROWD    // the same, and any part of it counts as all of it (COCO's "iscrowd")
};

struct sl_label {
    struct sl_detection box; // score 1
    uint32_t use;            // enum sl_label_use
    double area_px;          // of the object, which may be less than its box
};

#endif
