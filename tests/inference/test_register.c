// Registration: known shifts and rotations are found again, and what cannot be found is said.
//
//   test_register bench   prints time and error on the DeepPCB pictures, where they are
#include "inference/dataset.h"
#include "inference/register.h"
#include "tests/inference/allocations.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

enum { SIDE = 640 };
static const struct sl_register_limits limits = {60, 6, 0.5f};

static struct sl_picture view(const uint8_t *pixels)
{
    return (struct sl_picture){SL_PIXELS_GREY, SIDE, SIDE, {pixels}, {SIDE}};
}

static uint32_t next(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static void fill(uint8_t *p, uint32_t x, uint32_t y, uint32_t width, uint32_t height, uint8_t value)
{
    for (uint32_t k = y; k < y + height && k < SIDE; k++)
        for (uint32_t i = x; i < x + width && i < SIDE; i++)
            p[k * SIDE + i] = value;
}

// Tracks and pads at random on a board.
static uint8_t *board(uint32_t seed)
{
    uint8_t *p = malloc(SIDE * SIDE);
    assert_non_null(p);
    memset(p, 30, SIDE * SIDE);
    for (int i = 0; i < 60; i++) {
        const uint32_t x = next(&seed) % SIDE, y = next(&seed) % SIDE;
        const uint32_t length = 40 + next(&seed) % 200, width = 6 + next(&seed) % 10;
        const uint8_t value = (uint8_t)(180 + next(&seed) % 60);
        if (i % 3 == 0)
            fill(p, x, y, 24, 24, value);
        else if (i % 3 == 1)
            fill(p, x, y, length, width, value);
        else
            fill(p, x, y, width, length, value);
    }
    return p;
}

static double grey_at(const uint8_t *p, double x, double y)
{
    x = fmin(fmax(x, 0), SIDE - 1.001);
    y = fmin(fmax(y, 0), SIDE - 1.001);
    const int i = (int)x, k = (int)y;
    const double u = x - i, v = y - k;
    const uint8_t *a = p + k * SIDE + i, *b = a + SIDE;
    return (a[0] * (1 - u) + a[1] * u) * (1 - v) + (b[0] * (1 - u) + b[1] * u) * v;
}

// The picture of a part that lies elsewhere.
static void move(const uint8_t *src, double dx, double dy, double degrees, uint8_t *dst)
{
    const double c = cos(degrees * M_PI / 180), s = sin(degrees * M_PI / 180);
    const double centre = (SIDE - 1) / 2.0;
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++) {
            const double px = x - centre - dx, py = y - centre - dy;
            *dst++ =
                (uint8_t)lrint(grey_at(src, centre + c * px + s * py, centre - s * px + c * py));
        }
}

struct bench {
    struct sl_register *reg;
    uint8_t *reference, *picture;
};

static int setup(void **state)
{
    struct bench *b = calloc(1, sizeof(*b));
    assert_non_null(b);
    b->reference = board(1);
    b->picture = malloc(SIDE * SIDE);
    assert_non_null(b->picture);
    assert_int_equal(sl_register_new(SIDE, SIDE, &b->reg, NULL), 0);
    const struct sl_picture reference = view(b->reference);
    assert_int_equal(sl_register_set_reference(b->reg, &reference, NULL), 0);
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;
    sl_register_free(b->reg);
    free(b->reference);
    free(b->picture);
    free(b);
    return 0;
}

static int find(struct bench *b, struct sl_registration *found, struct sl_error *error)
{
    const struct sl_picture picture = view(b->picture);
    return sl_register_find(b->reg, &picture, &limits, found, error);
}

static void expect_within(struct bench *b, double dx, double dy, double degrees, double pixels,
                          double angle)
{
    struct sl_registration r;
    struct sl_error error = {""};
    if (find(b, &r, &error) != 0)
        fail_msg("%g, %g, %g degrees: %s", dx, dy, degrees, error.message);
    if (fabs((double)r.dx_px - dx) > pixels || fabs((double)r.dy_px - dy) > pixels ||
        fabs((double)r.rotation_deg - degrees) > angle)
        fail_msg("expected %g, %g, %g degrees; found %g, %g, %g", dx, dy, degrees, (double)r.dx_px,
                 (double)r.dy_px, (double)r.rotation_deg);
}

static void expect(struct bench *b, double dx, double dy, double degrees)
{
    expect_within(b, dx, dy, degrees, 0.2, 0.02);
}

static void a_grid_of_positions_is_found(void **state)
{
    struct bench *b = *state;
    static const double shifts[] = {-40, -17.3, 0, 0.5, 29.8}, angles[] = {-5, -0.7, 0, 2.2, 5};
    for (size_t a = 0; a < 5; a++)
        for (size_t i = 0; i < 5; i++)
            for (size_t k = 0; k < 5; k++) {
                move(b->reference, shifts[i], shifts[k], angles[a], b->picture);
                expect(b, shifts[i], shifts[k], angles[a]);
            }
}

static void other_light_does_not_matter(void **state)
{
    struct bench *b = *state;
    uint32_t seed = 7;
    move(b->reference, 12.4, -8.7, 1.3, b->picture);
    for (int i = 0; i < SIDE * SIDE; i++) // darker, less contrast, brighter to the right, noise
        b->picture[i] =
            (uint8_t)(20 + b->picture[i] * 0.5 + (i % SIDE) * 0.05 + (double)(next(&seed) % 16));
    expect(b, 12.4, -8.7, 1.3);
}

static void defects_do_not_pull(void **state)
{
    struct bench *b = *state;
    uint32_t seed = 3;
    move(b->reference, -9.6, 4.1, -1.8, b->picture);
    for (int i = 0; i < 25; i++)
        fill(b->picture, next(&seed) % SIDE, next(&seed) % SIDE, 30, 30, i % 2 ? 230 : 30);
    expect(b, -9.6, 4.1, -1.8);
}

static void half_a_picture_is_enough(void **state)
{
    struct bench *b = *state;
    move(b->reference, 6.3, -11.2, 0.9, b->picture);
    fill(b->picture, SIDE / 2, 0, SIDE / 2, SIDE, 30);
    expect_within(b, 6.3, -11.2, 0.9, 0.4, 0.06);
}

static void the_same_picture_scores_one(void **state)
{
    struct bench *b = *state;
    struct sl_registration r;
    memcpy(b->picture, b->reference, SIDE * SIDE);
    assert_int_equal(find(b, &r, NULL), 0);
    assert_true(r.score > 0.999f);
    assert_float_equal(r.dx_px, 0, 0.01);
    assert_float_equal(r.dy_px, 0, 0.01);
    assert_float_equal(r.rotation_deg, 0, 0.002);
}

static void another_board_is_refused(void **state)
{
    struct bench *b = *state;
    for (uint32_t seed = 2; seed < 12; seed++) {
        struct sl_error error = {""};
        struct sl_registration r;
        uint8_t *other = board(seed);
        memcpy(b->picture, other, SIDE * SIDE);
        free(other);
        assert_int_equal(find(b, &r, &error), -ERANGE);
        assert_non_null(strstr(error.message, "correlation"));
    }
}

static void limits_are_kept_and_what_was_found_is_said(void **state)
{
    struct bench *b = *state;
    struct sl_registration r;
    struct sl_error error = {""};
    const struct sl_picture picture = view(b->picture);
    const struct sl_register_limits tight = {10, 1, 0.5f};
    move(b->reference, 14, 3, 0, b->picture);
    assert_int_equal(sl_register_find(b->reg, &picture, &tight, &r, &error), -ERANGE);
    assert_float_equal(r.dx_px, 14, 0.2);
    assert_non_null(strstr(error.message, "14.3"));
    assert_non_null(strstr(error.message, "10.0"));
    move(b->reference, 3, 3, 2, b->picture);
    assert_int_equal(sl_register_find(b->reg, &picture, &tight, &r, &error), -ERANGE);
    assert_float_equal(r.rotation_deg, 2, 0.02);
    assert_non_null(strstr(error.message, "degrees"));
    move(b->reference, 9.5, 0, 0.9, b->picture);
    assert_int_equal(sl_register_find(b->reg, &picture, &tight, &r, &error), 0);
}

static void blank_pictures_are_refused(void **state)
{
    struct bench *b = *state;
    struct sl_registration r = {1, 2, 3, 4};
    struct sl_error error = {""};
    memset(b->picture, 90, SIDE * SIDE);
    assert_int_equal(find(b, &r, &error), -ENODATA);
    assert_non_null(strstr(error.message, "nothing to hold on to"));
    assert_float_equal(r.score, 4, 0); // untouched

    const struct sl_picture blank = view(b->picture);
    assert_int_equal(sl_register_set_reference(b->reg, &blank, NULL), 0);
    const struct sl_picture full = view(b->reference);
    assert_int_equal(sl_register_find(b->reg, &full, &limits, &r, &error), -ENODATA);
    // And the next reference works again.
    assert_int_equal(sl_register_set_reference(b->reg, &full, NULL), 0);
    assert_int_equal(sl_register_find(b->reg, &full, &limits, &r, &error), 0);
}

// Stripes say nothing about the shift along them: it stays 0, and the one across is found.
static void one_direction_is_enough(void **state)
{
    struct bench *b = *state;
    struct sl_registration r;
    struct sl_error error = {""};
    for (int i = 0; i < SIDE * SIDE; i++)
        b->picture[i] = i % SIDE > 250 && i % SIDE < 400 ? 200 : 40;
    const struct sl_picture stripe = view(b->picture);
    assert_int_equal(sl_register_set_reference(b->reg, &stripe, NULL), 0);
    for (int i = 0; i < SIDE * SIDE; i++)
        b->picture[i] = i % SIDE > 262 && i % SIDE < 412 ? 200 : 40;
    if (find(b, &r, &error) != 0)
        fail_msg("%s", error.message);
    assert_float_equal(r.dx_px, 12, 0.1);
    assert_float_equal(r.dy_px, 0, 0.5);
    assert_float_equal(r.rotation_deg, 0, 0.02);
}

static void wrong_pictures_are_refused(void **state)
{
    struct bench *b = *state;
    struct sl_registration r;
    struct sl_error error = {""};
    struct sl_picture p = view(b->picture);
    p.width = 600;
    assert_int_equal(sl_register_find(b->reg, &p, &limits, &r, &error), -EINVAL);
    assert_non_null(strstr(error.message, "600 x 640"));
    p = view(b->picture);
    p.stride[0] = 639;
    assert_int_equal(sl_register_set_reference(b->reg, &p, &error), -EINVAL);
    p = view(NULL);
    assert_int_equal(sl_register_set_reference(b->reg, &p, &error), -EINVAL);
    p = view(b->picture);
    p.pixels = SL_PIXELS_RGB;
    assert_int_equal(sl_register_find(b->reg, &p, &limits, &r, &error), -EINVAL);
}

static void wrong_sizes_are_refused(void **state)
{
    (void)state;
    struct sl_register *reg = NULL;
    struct sl_error error = {""};
    assert_int_equal(sl_register_new(31, 640, &reg, &error), -EINVAL);
    assert_int_equal(sl_register_new(640, 0, &reg, &error), -EINVAL);
    assert_int_equal(sl_register_new(640, 16385, &reg, &error), -EINVAL);
    assert_non_null(strstr(error.message, "16385"));
    assert_null(reg);
    sl_register_free(NULL);
}

static void without_a_reference_nothing_is_found(void **state)
{
    (void)state;
    struct sl_register *reg;
    struct sl_registration r;
    uint8_t pixels[64 * 48] = {0};
    const struct sl_picture p = {SL_PIXELS_GREY, 64, 48, {pixels}, {64}};
    assert_int_equal(sl_register_new(64, 48, &reg, NULL), 0);
    assert_int_equal(sl_register_find(reg, &p, &limits, &r, NULL), -ENODATA);
    sl_register_free(reg);
}

static void nothing_is_allocated_after_new(void **state)
{
    struct bench *b = *state;
    const struct sl_picture reference = view(b->reference), picture = view(b->picture);
    static uint8_t warped[SIDE * SIDE];
    if (allocations() < 0)
        skip();
    long before = allocations();
    struct sl_register *reg;
    assert_int_equal(sl_register_new(SIDE, SIDE, &reg, NULL), 0);
    assert_true(allocations() > before); // or nothing is being counted
    before = allocations();
    for (int i = 0; i < 3; i++) {
        struct sl_registration r;
        move(b->reference, 11 * i, -9.5, 2.1 * i, b->picture);
        assert_int_equal(sl_register_set_reference(reg, &reference, NULL), 0);
        assert_int_equal(sl_register_find(reg, &picture, &limits, &r, NULL), 0);
        sl_register_warp(reg, &r, &picture, warped, SIDE);
    }
    assert_int_equal(allocations(), before);
    sl_register_free(reg);
}

// Sizes that are odd, small or long work as well.
static void other_sizes_work(void **state)
{
    struct bench *b = *state;
    static const uint32_t sizes[][2] = {{640, 480}, {333, 517}, {160, 640}, {96, 96}, {639, 479}};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        const uint32_t w = sizes[i][0], h = sizes[i][1];
        struct sl_register *reg;
        struct sl_registration r;
        struct sl_error error = {""};
        const struct sl_picture a = {SL_PIXELS_GREY, w, h, {b->reference}, {SIDE}};
        // The same board seen 5 to the right and 2 further up.
        const struct sl_picture c = {SL_PIXELS_GREY, w - 8, h - 8, {b->reference}, {SIDE}};
        uint8_t *moved = malloc(SIDE * SIDE);
        assert_non_null(moved);
        memset(moved, 30, SIDE * SIDE);
        for (uint32_t y = 0; y + 2 < h; y++)
            memcpy(moved + y * SIDE + 5, b->reference + (y + 2) * SIDE, w - 5);
        const struct sl_picture p = {SL_PIXELS_GREY, w, h, {moved}, {SIDE}};
        assert_int_equal(sl_register_new(w, h, &reg, NULL), 0);
        assert_int_equal(sl_register_set_reference(reg, &c, NULL), -EINVAL);
        assert_int_equal(sl_register_set_reference(reg, &a, NULL), 0);
        if (sl_register_find(reg, &p, &limits, &r, &error) != 0)
            fail_msg("%u x %u: %s", w, h, error.message);
        assert_float_equal(r.dx_px, 5, 0.2);
        assert_float_equal(r.dy_px, -2, 0.2);
        assert_float_equal(r.rotation_deg, 0, 0.05);
        sl_register_free(reg);
        free(moved);
    }
}

static void the_warp_lays_the_reference_on_the_picture(void **state)
{
    struct bench *b = *state;
    static const double poses[][3] = {
        {0, 0, 0}, {7, -3, 0}, {3.4, 5.7, 1.2}, {-21.5, 13.25, -4.6}, {0.5, 0, 5}, {700, 0, 0}};
    uint8_t *warped = malloc(SIDE * SIDE);
    assert_non_null(warped);
    const double centre = (SIDE - 1) / 2.0;
    for (size_t i = 0; i < sizeof(poses) / sizeof(poses[0]); i++) {
        const double dx = poses[i][0], dy = poses[i][1], degrees = poses[i][2];
        const double c = cos(degrees * M_PI / 180), s = sin(degrees * M_PI / 180);
        const struct sl_registration r = {(float)dx, (float)dy, (float)degrees, 1};
        memset(b->picture, 123, SIDE * SIDE);
        const struct sl_picture p = view(b->picture);
        sl_register_warp(b->reg, &r, &p, warped, SIDE);
        for (int y = 0; y < SIDE; y++)
            for (int x = 0; x < SIDE; x++) {
                const double px = x - centre - dx, py = y - centre - dy;
                const double u = centre + c * px + s * py, v = centre - s * px + c * py;
                const int found = warped[y * SIDE + x];
                if (u < -0.01 || v < -0.01 || u > SIDE + 0.01 || v > SIDE + 0.01)
                    assert_int_equal(found, 123); // the reference has nothing there
                else if (u > 0 && v > 0 && u < SIDE - 1 && v < SIDE - 1)
                    assert_true(fabs(found - grey_at(b->reference, u, v)) < 4);
            }
    }
    free(warped);
}

// --- the real pictures

static const char *shared_boards(void)
{
    static char path[512];
    const char *shared = getenv("SIGHTLINE_SHARED");
    snprintf(path, sizeof(path), "%s/data/deeppcb/test", shared ? shared : "../shared");
    return path;
}

static bool load(struct sl_jpeg *jpeg, const char *path, uint8_t *dst)
{
    void *bytes;
    size_t size;
    struct sl_picture out;
    const struct sl_jpeg_request request = {.pixels = SL_PIXELS_GREY, .scale = 1};
    if (!path || sl_read_file(path, 1 << 24, &bytes, &size, NULL) < 0)
        return false;
    const int status =
        sl_jpeg_decode(jpeg, bytes, size, &request, dst, SIDE, SIDE * SIDE, &out, NULL);
    free(bytes);
    return status == 0 && out.width == SIDE && out.height == SIDE;
}

struct outcome {
    uint32_t pictures, refused, far; // far: by more than half a pixel
    double worst, sum, find_ms, most_ms, warp_ms;
};

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static double uniform(uint32_t *seed)
{
    return (double)next(seed) / (1 << 23) - 1;
}

// Every `every`-th board with its defects, moved at random. The error is the sum of shift error and
// rotation error at a corner, relative to how the unmoved pair lies.
static void measure(struct bench *b, const struct sl_dataset *boards, uint32_t every, double shift,
                    double degrees, struct outcome *out)
{
    struct sl_jpeg *jpeg;
    uint8_t *picture = malloc(SIDE * SIDE);
    uint32_t seed = 11;
    assert_non_null(picture);
    assert_int_equal(sl_jpeg_new(&jpeg, NULL), 0);
    memset(out, 0, sizeof(*out));
    for (uint32_t i = 0; i < boards->count; i += every) {
        struct sl_registration base, r;
        const double dx = uniform(&seed) * shift, dy = uniform(&seed) * shift;
        const double angle = uniform(&seed) * degrees;
        assert_true(load(jpeg, boards->samples[i].reference, b->reference));
        assert_true(load(jpeg, boards->samples[i].picture, picture));
        const struct sl_picture reference = view(b->reference), moved = view(b->picture);
        const struct sl_picture unmoved = view(picture);
        assert_int_equal(sl_register_set_reference(b->reg, &reference, NULL), 0);
        assert_int_equal(sl_register_find(b->reg, &unmoved, &limits, &base, NULL), 0);
        move(picture, dx, dy, angle, b->picture);
        const double start = now_ms();
        const int status = sl_register_find(b->reg, &moved, &limits, &r, NULL);
        const double middle = now_ms();
        sl_register_warp(b->reg, &r, &moved, picture, SIDE);
        const double end = now_ms();
        out->pictures++;
        out->find_ms += middle - start;
        out->warp_ms += end - middle;
        out->most_ms = fmax(out->most_ms, end - start);
        if (status != 0) {
            out->refused++;
            continue;
        }
        const double c = cos(angle * M_PI / 180), s = sin(angle * M_PI / 180);
        const double bx = (double)base.dx_px, by = (double)base.dy_px;
        const double error = hypot((double)r.dx_px - dx - (c * bx - s * by),
                                   (double)r.dy_px - dy - (s * bx + c * by)) +
                             fabs((double)(r.rotation_deg - base.rotation_deg) - angle) * M_PI /
                                 180 * SIDE / M_SQRT2;
        out->sum += error;
        out->far += error > 0.5;
        out->worst = fmax(out->worst, error);
    }
    sl_jpeg_free(jpeg);
    free(picture);
}

static void real_boards_are_found(void **state)
{
    struct sl_dataset boards;
    struct outcome o;
    if (sl_dataset_open(shared_boards(), SL_DATASET_ANY, &boards, NULL) < 0) {
        print_message("no pictures in %s\n", shared_boards());
        skip();
    }
    // A few of the boards are all but empty, or do not match their template to a pixel: there the
    // position is not determined to half a pixel.
    static const double jitters[][2] = {{20, 2}, {40, 5}};
    for (size_t i = 0; i < 2; i++) {
        measure(*state, &boards, 5, jitters[i][0], jitters[i][1], &o);
        assert_int_equal(o.refused, 0);
        assert_true(o.far <= o.pictures / 10);
        assert_true(o.sum / o.pictures < 0.4);
    }
    sl_dataset_close(&boards);
}

static int bench(void)
{
    static const double jitters[][2] = {{0, 0}, {5, 0.5}, {20, 2}, {40, 5}};
    struct sl_dataset boards;
    void *state = NULL;
    if (sl_dataset_open(shared_boards(), SL_DATASET_ANY, &boards, NULL) < 0) {
        fprintf(stderr, "no pictures in %s\n", shared_boards());
        return 77;
    }
    setup(&state);
    printf("%8s %8s %9s %8s %8s %8s %8s %8s %8s %8s\n", "shift px", "degrees", "pictures",
           "refused", "mean px", "far", "worst px", "find ms", "warp ms", "most ms");
    for (size_t i = 0; i < sizeof(jitters) / sizeof(jitters[0]); i++) {
        struct outcome o;
        measure(state, &boards, 1, jitters[i][0], jitters[i][1], &o);
        printf("%8g %8g %9u %8u %8.3f %8u %8.3f %8.2f %8.2f %8.2f\n", jitters[i][0], jitters[i][1],
               o.pictures, o.refused, o.sum / fmax(o.pictures - o.refused, 1), o.far, o.worst,
               o.find_ms / o.pictures, o.warp_ms / o.pictures, o.most_ms);
    }
    teardown(&state);
    sl_dataset_close(&boards);
    return 0;
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        CASE(a_grid_of_positions_is_found),
        CASE(other_light_does_not_matter),
        CASE(defects_do_not_pull),
        CASE(half_a_picture_is_enough),
        CASE(the_same_picture_scores_one),
        CASE(another_board_is_refused),
        CASE(limits_are_kept_and_what_was_found_is_said),
        CASE(blank_pictures_are_refused),
        CASE(one_direction_is_enough),
        CASE(wrong_pictures_are_refused),
        cmocka_unit_test(wrong_sizes_are_refused),
        cmocka_unit_test(without_a_reference_nothing_is_found),
        CASE(nothing_is_allocated_after_new),
        CASE(other_sizes_work),
        CASE(the_warp_lays_the_reference_on_the_picture),
        CASE(real_boards_are_found),
    };
    if (argc > 1 && !strcmp(argv[1], "bench"))
        return bench();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
