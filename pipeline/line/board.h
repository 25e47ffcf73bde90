// Simulated circuit boards on a conveyor: a golden board, and pictures of parts made after it with
// the six defect classes of DeepPCB, their truth known.
//
// Everything follows from seeds and is the same on every machine. Pixels are grey bytes: copper
// dark, board bright, as in DeepPCB's binarised pictures.
#ifndef SL_PIPELINE_LINE_BOARD_H
#define SL_PIPELINE_LINE_BOARD_H

#include <stddef.h>
#include <stdint.h>

#define SL_LINE_MIN_SIDE    128u
#define SL_LINE_MAX_SIDE    4096u
#define SL_LINE_MAX_DEFECTS 32u

enum sl_line_class { // DeepPCB's order
    SL_LINE_OPEN = 0,
    SL_LINE_SHORT,
    SL_LINE_MOUSEBITE,
    SL_LINE_SPUR,
    SL_LINE_COPPER,
    SL_LINE_PIN_HOLE,
    SL_LINE_CLASSES
};

extern const char *const sl_line_class_names[SL_LINE_CLASSES];

// What differs from part to part. Ranges are symmetric about none.
struct sl_line_params {
    double defect_rate;   // probability that a part has defects, 0 … 1
    uint32_t max_defects; // such a part has 1 … max_defects of them, as far as they find a place
    double shift_px;      // the part lies up to this far from the golden position, each axis
    double rotation_deg;  // and up to this turned
    double blur_px;       // sigma of the lens
    double noise;         // sigma of the sensor, grey levels
    double light;         // up to this share brighter, darker, and sloping across the picture
};

extern const struct sl_line_params sl_line_default_params;

struct sl_line_defect {
    float x1, y1, x2, y2; // pixels of the picture, with the margin that DeepPCB's annotators leave
    uint32_t class_id;    // enum sl_line_class
};

struct sl_line_truth {
    uint32_t count;
    struct sl_line_defect defects[SL_LINE_MAX_DEFECTS];
    float shift_x_px, shift_y_px,
        rotation_deg; // where the part lies (inference/register.h's meaning)
};

// A golden board and the scratch memory to render its parts; one thread at a time.
struct sl_line_product;

// -EINVAL: a side is out of range or not a multiple of 8; -ENOMEM.
int sl_line_product_new(uint32_t width, uint32_t height, uint64_t seed,
                        struct sl_line_product **out);
void sl_line_product_free(struct sl_line_product *product); // NULL is fine

uint32_t sl_line_product_width(const struct sl_line_product *product);
uint32_t sl_line_product_height(const struct sl_line_product *product);

// The golden picture, `width` bytes a row; lives as long as the product.
const uint8_t *sl_line_product_picture(const struct sl_line_product *product);

// The name of the parameter that is out of range, or NULL.
const char *sl_line_params_problem(const struct sl_line_params *params);

// Renders the part of this seed into `picture` (height rows of `stride` bytes). Only defects that
// were really drawn and are at least half visible stand in `truth`. Allocates nothing. -EINVAL if a
// parameter is out of range or stride < width.
int sl_line_board_render(struct sl_line_product *product, uint64_t seed,
                         const struct sl_line_params *params, uint8_t *picture, uint32_t stride,
                         struct sl_line_truth *truth);

#endif
