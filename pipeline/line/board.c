// Rendering a part: golden board, defects, camera.
#include "pipeline/line/board.h"

#include "pipeline/line/defects.h"
#include "pipeline/line/imaging.h"
#include "pipeline/line/layout.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MARGIN = 9 }; // median distance between defect and box in DeepPCB's training part

const char *const sl_line_class_names[SL_LINE_CLASSES] = {"open", "short",  "mousebite",
                                                          "spur", "copper", "pin-hole"};

const struct sl_line_params sl_line_default_params = {
    .defect_rate = 0.3,
    .max_defects = 4,
    .shift_px = 6,
    .rotation_deg = 0.5,
    .blur_px = 0.5,
    .noise = 3,
    .light = 0.08,
};

struct sl_line_product {
    struct layout layout; // its canvas is the golden board
    struct canvas sketch; // the golden board, lent to defect_draw
    struct canvas board;  // the part being made
    uint8_t *moved, *scratch;
    int8_t noise[NOISE_TABLE];
};

static bool good_side(uint32_t side)
{
    return side >= SL_LINE_MIN_SIDE && side <= SL_LINE_MAX_SIDE && side % 8 == 0;
}

static uint8_t *plane(const struct sl_line_product *p)
{
    return malloc((size_t)p->layout.canvas.width * (size_t)p->layout.canvas.height);
}

int sl_line_product_new(uint32_t width, uint32_t height, uint64_t seed,
                        struct sl_line_product **out)
{
    if (!good_side(width) || !good_side(height))
        return -EINVAL;
    struct sl_line_product *p = calloc(1, sizeof(*p));
    if (!p)
        return -ENOMEM;
    p->layout.canvas = (struct canvas){(int)width, (int)height, NULL};
    p->sketch = p->board = p->layout.canvas;
    p->layout.canvas.pixels = plane(p);
    p->sketch.pixels = plane(p);
    p->board.pixels = plane(p);
    p->moved = plane(p);
    p->scratch = plane(p);
    if (!p->layout.canvas.pixels || !p->sketch.pixels || !p->board.pixels || !p->moved ||
        !p->scratch) {
        sl_line_product_free(p);
        return -ENOMEM;
    }
    layout_draw(&p->layout, seed);
    memcpy(p->sketch.pixels, p->layout.canvas.pixels, (size_t)width * height);
    imaging_noise_table(p->noise, seed);
    *out = p;
    return 0;
}

void sl_line_product_free(struct sl_line_product *p)
{
    if (!p)
        return;
    free(p->layout.canvas.pixels);
    free(p->sketch.pixels);
    free(p->board.pixels);
    free(p->moved);
    free(p->scratch);
    free(p);
}

uint32_t sl_line_product_width(const struct sl_line_product *p)
{
    return (uint32_t)p->layout.canvas.width;
}

uint32_t sl_line_product_height(const struct sl_line_product *p)
{
    return (uint32_t)p->layout.canvas.height;
}

const uint8_t *sl_line_product_picture(const struct sl_line_product *p)
{
    return p->layout.canvas.pixels;
}

const char *sl_line_params_problem(const struct sl_line_params *params)
{
    const struct {
        const char *name;
        double value, max;
    } limits[] = {
        {"defect_rate", params->defect_rate, 1},
        {"shift_px", params->shift_px, 100},
        {"rotation_deg", params->rotation_deg, 10},
        {"blur_px", params->blur_px, 2},
        {"noise", params->noise, 40},
        {"light", params->light, 0.5},
    };
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
        if (!(limits[i].value >= 0 && limits[i].value <= limits[i].max))
            return limits[i].name;
    return params->max_defects > SL_LINE_MAX_DEFECTS ? "max_defects" : NULL;
}

// Where the four corners of a box on the board are seen, upright again, with the annotators'
// margin.
static bool seen_box(const struct sl_line_product *p, const struct pose *pose, struct box box,
                     struct sl_line_defect *out)
{
    const float width = (float)p->board.width, height = (float)p->board.height;
    const struct point middle = {(float)(box.x1 + box.x2 - 1) / 2,
                                 (float)(box.y1 + box.y2 - 1) / 2};
    const struct point at = pose_apply(pose, &p->board, middle);
    const float half_x = (float)(box.x2 - box.x1) / 2 + MARGIN;
    const float half_y = (float)(box.y2 - box.y1) / 2 + MARGIN;
    out->x1 = fmaxf(at.x - half_x + 0.5f, 0);
    out->y1 = fmaxf(at.y - half_y + 0.5f, 0);
    out->x2 = fminf(at.x + half_x + 0.5f, width);
    out->y2 = fminf(at.y + half_y + 0.5f, height);
    const float area = fmaxf(out->x2 - out->x1, 0) * fmaxf(out->y2 - out->y1, 0);
    return area >= 0.5f * 4 * half_x * half_y;
}

static void draw_defects(struct sl_line_product *p, const struct sl_line_params *params,
                         const struct pose *pose, struct random *r, struct sl_line_truth *truth)
{
    struct box taken[SL_LINE_MAX_DEFECTS];
    int n_taken = 0;
    const bool bad = params->max_defects > 0 && random_unit(r) < (float)params->defect_rate;
    const int wanted = random_int(r, 1, params->max_defects ? (int)params->max_defects : 1);
    for (int i = 0; bad && i < wanted; i++) {
        const uint32_t class_id = (uint32_t)random_int(r, 0, SL_LINE_CLASSES - 1);
        if (!defect_draw(&p->layout, &p->sketch, &p->board, r, class_id, taken, n_taken,
                         &taken[n_taken]))
            continue;
        struct sl_line_defect *defect = &truth->defects[truth->count];
        defect->class_id = class_id;
        truth->count += seen_box(p, pose, taken[n_taken++], defect);
    }
}

int sl_line_board_render(struct sl_line_product *p, uint64_t seed,
                         const struct sl_line_params *params, uint8_t *picture, uint32_t stride,
                         struct sl_line_truth *truth)
{
    const int width = p->board.width, height = p->board.height;
    if (sl_line_params_problem(params) || stride < (uint32_t)width)
        return -EINVAL;
    struct random r = {seed * 0x2545f4914f6cdd1du + 1};
    const float shift = (float)params->shift_px, turn = (float)params->rotation_deg;
    const float light = (float)params->light;
    *truth = (struct sl_line_truth){.shift_x_px = random_between(&r, -shift, shift),
                                    .shift_y_px = random_between(&r, -shift, shift),
                                    .rotation_deg = random_between(&r, -turn, turn)};
    const struct pose pose = pose_make(truth->shift_x_px, truth->shift_y_px, truth->rotation_deg);
    const struct light lamp = {
        1 - random_between(&r, 0, light), random_between(&r, -light, light) / 2,
        random_between(&r, -light, light) / 2, random_between(&r, 0, 100 * light)};
    memcpy(p->board.pixels, p->layout.canvas.pixels, (size_t)width * (size_t)height);
    draw_defects(p, params, &pose, &r, truth);
    imaging_move(&p->board, &pose, p->moved);
    imaging_blur(p->moved, p->scratch, width, height, (float)params->blur_px);
    imaging_expose(p->moved, width, height, &lamp, params->noise > 0 ? p->noise : NULL,
                   (float)params->noise, &r, picture, stride);
    return 0;
}
