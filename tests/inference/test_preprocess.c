// Every picture format and both fits, against numbers worked out by hand, and refusals.
#include "inference/preprocess.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static struct sl_input_contract contract(uint32_t width, uint32_t height, uint32_t fit)
{
    return (struct sl_input_contract){
        .width = width, .height = height, .n_channels = 1, .fit = fit, .pad_value = 114};
}

static void scale(const struct sl_input_contract *input, const struct sl_picture *picture,
                  bool grey, uint8_t *const planes[3], struct sl_fit_map *map)
{
    struct sl_preprocess *pre;
    struct sl_error error = {""};
    assert_int_equal(sl_preprocess_new(input, &pre, &error), 0);
    if (sl_preprocess_planes(pre, picture, grey, planes, map, &error) != 0)
        fail_msg("%s", error.message);
    sl_preprocess_free(pre);
}

// The planes of a picture taken as it is.
static void convert(const struct sl_picture *picture, bool grey, uint8_t out[3][16])
{
    const struct sl_input_contract input =
        contract(picture->width, picture->height, SL_FIT_STRETCH);
    uint8_t *const planes[3] = {out[0], out[1], out[2]};
    struct sl_fit_map map;
    memset(out, 0xEE, 48);
    scale(&input, picture, grey, planes, &map);
    assert_float_equal(map.scale_x, 1, 0);
    assert_float_equal(map.offset_x, 0, 0);
}

static void expect(const uint8_t *found, const uint8_t *expected, size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_int_equal(found[i], expected[i]);
}

#define EXPECT(found, ...)                                                                         \
    expect(found, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static void grey_goes_through(void **state)
{
    (void)state;
    const uint8_t bytes[] = {1, 2, 99, 3, 4, 99}; // a stride wider than the row
    const struct sl_picture p = {SL_PIXELS_GREY, 2, 2, {bytes}, {3}};
    uint8_t out[3][16];
    convert(&p, true, out);
    EXPECT(out[0], 1, 2, 3, 4, 0xEE);
    convert(&p, false, out);
    for (int i = 0; i < 3; i++)
        EXPECT(out[i], 1, 2, 3, 4, 0xEE);
}

// Luma by BT.601: 0.299 R + 0.587 G + 0.114 B.
static void packed_colours_are_told_apart(void **state)
{
    (void)state;
    const uint8_t three[] = {200, 100, 50, 0, 0, 255};
    const uint8_t four[] = {200, 100, 50, 7, 0, 0, 255, 7};
    uint8_t out[3][16];
    const struct sl_picture rgb = {SL_PIXELS_RGB, 2, 1, {three}, {6}};
    const struct sl_picture bgr = {SL_PIXELS_BGR, 2, 1, {three}, {6}};
    const struct sl_picture rgbx = {SL_PIXELS_RGBX, 2, 1, {four}, {8}};
    const struct sl_picture bgrx = {SL_PIXELS_BGRX, 2, 1, {four}, {8}};
    for (int wide = 0; wide < 2; wide++) {
        convert(wide ? &rgbx : &rgb, false, out);
        EXPECT(out[0], 200, 0, 0xEE);
        EXPECT(out[1], 100, 0, 0xEE);
        EXPECT(out[2], 50, 255, 0xEE);
        convert(wide ? &bgrx : &bgr, false, out);
        EXPECT(out[0], 50, 255, 0xEE);
        EXPECT(out[2], 200, 0, 0xEE);
        convert(wide ? &rgbx : &rgb, true, out);
        EXPECT(out[0], 124, 29, 0xEE); // 59.8 + 58.7 + 5.7; 29.07
        convert(wide ? &bgrx : &bgr, true, out);
        EXPECT(out[0], 96, 76, 0xEE); // 14.95 + 58.7 + 22.8; 76.2
    }
}

// R = Y + 1.402 (V - 128), G = Y - 0.344 (U - 128) - 0.714 (V - 128), B = Y + 1.772 (U - 128).
static void yuv_formats_agree(void **state)
{
    (void)state;
    const uint8_t luma[] = {100, 150, 200, 250}, u[] = {138}, v[] = {118}, uv[] = {138, 118};
    const uint8_t yuyv[] = {100, 138, 150, 118, 200, 138, 250, 118};
    const struct sl_picture pictures[] = {
        {SL_PIXELS_NV12, 2, 2, {luma, uv}, {2, 2}},
        {SL_PIXELS_I420, 2, 2, {luma, u, v}, {2, 1, 1}},
        {SL_PIXELS_YUYV, 2, 2, {yuyv}, {4}},
    };
    uint8_t out[3][16];
    for (int i = 0; i < 3; i++) {
        convert(&pictures[i], true, out);
        EXPECT(out[0], 100, 150, 200, 250, 0xEE);
        convert(&pictures[i], false, out);
        EXPECT(out[0], 86, 136, 186, 236, 0xEE);
        EXPECT(out[1], 104, 154, 204, 254, 0xEE);
        EXPECT(out[2], 118, 168, 218, 255, 0xEE);
    }
}

static void stretching_is_bilinear_about_pixel_centres(void **state)
{
    (void)state;
    const uint8_t bytes[] = {0, 100, 200, 40}; // 2 x 2 to 4 x 2
    const struct sl_picture p = {SL_PIXELS_GREY, 2, 2, {bytes}, {2}};
    struct sl_input_contract input = contract(4, 2, SL_FIT_STRETCH);
    uint8_t out[16];
    struct sl_fit_map map;
    scale(&input, &p, true, (uint8_t *[3]){out, NULL, NULL}, &map);
    EXPECT(out, 0, 25, 75, 100, 200, 160, 80, 40);
    assert_float_equal(map.scale_x, 2, 0);
    assert_float_equal(map.scale_y, 1, 0);

    const uint8_t wide[] = {10, 20, 30, 40, 50, 60, 70, 80}; // 4 x 2 to 2 x 1: means of four
    const struct sl_picture q = {SL_PIXELS_GREY, 4, 2, {wide}, {4}};
    input = contract(2, 1, SL_FIT_STRETCH);
    scale(&input, &q, true, (uint8_t *[3]){out, NULL, NULL}, &map);
    EXPECT(out, 35, 55);
}

static void a_letterbox_keeps_the_shape(void **state)
{
    (void)state;
    const uint8_t bytes[] = {10, 10, 90, 90};
    const struct sl_picture wide = {SL_PIXELS_GREY, 4, 1, {bytes}, {4}};
    const struct sl_picture tall = {SL_PIXELS_GREY, 1, 4, {bytes}, {1}};
    const struct sl_input_contract input = contract(4, 4, SL_FIT_LETTERBOX);
    uint8_t out[16];
    struct sl_fit_map map;
    scale(&input, &wide, true, (uint8_t *[3]){out, NULL, NULL}, &map);
    EXPECT(out, 114, 114, 114, 114, 10, 10, 90, 90, 114, 114, 114, 114, 114, 114, 114, 114);
    assert_float_equal(map.offset_x, 0, 0);
    assert_float_equal(map.offset_y, 1, 0);
    scale(&input, &tall, true, (uint8_t *[3]){out, NULL, NULL}, &map);
    EXPECT(out, 114, 10, 114, 114, 114, 10, 114, 114, 114, 90, 114, 114, 114, 90, 114, 114);
}

// Whatever the width, rounding must not push the picture over the edge of the input.
static void every_size_stays_inside(void **state)
{
    (void)state;
    const uint32_t side = 97;
    const struct sl_input_contract input = contract(side, side, SL_FIT_LETTERBOX);
    uint8_t *bytes = calloc(SL_PICTURE_MAX_SIDE, 2), *out = malloc(side * side + 2);
    struct sl_fit_map map;
    assert_non_null(bytes);
    assert_non_null(out);
    for (uint32_t width = 1; width <= SL_PICTURE_MAX_SIDE; width += width < 3000 ? 1 : 131) {
        const struct sl_picture p = {SL_PIXELS_GREY, width, 2, {bytes}, {width}};
        const struct sl_picture q = {SL_PIXELS_GREY, 2, width, {bytes}, {1}};
        out[0] = out[side * side + 1] = 77;
        scale(&input, &p, true, (uint8_t *[3]){out + 1, NULL, NULL}, &map);
        assert_true(map.offset_x >= 0 && map.offset_y >= 0);
        if (width <= SL_PICTURE_MAX_SIDE / 2) {
            struct sl_picture narrow = q;
            narrow.stride[0] = 2;
            scale(&input, &narrow, true, (uint8_t *[3]){out + 1, NULL, NULL}, &map);
            assert_true(map.offset_x >= 0 && map.offset_y >= 0);
        }
        assert_int_equal(out[0], 77);
        assert_int_equal(out[side * side + 1], 77);
    }
    free(bytes);
    free(out);
}

static void sizes_may_change_from_picture_to_picture(void **state)
{
    (void)state;
    const struct sl_input_contract input = contract(4, 4, SL_FIT_STRETCH);
    struct sl_preprocess *pre;
    struct sl_fit_map map;
    uint8_t bytes[64], out[16];
    memset(bytes, 50, sizeof(bytes));
    assert_int_equal(sl_preprocess_new(&input, &pre, NULL), 0);
    for (uint32_t width = 1; width <= 8; width++) {
        const struct sl_picture p = {SL_PIXELS_GREY, width, 64 / 8, {bytes}, {8}};
        memset(out, 0, sizeof(out));
        assert_int_equal(
            sl_preprocess_planes(pre, &p, true, (uint8_t *[3]){out, NULL, NULL}, &map, NULL), 0);
        for (int i = 0; i < 16; i++)
            assert_int_equal(out[i], 50);
    }
    sl_preprocess_free(pre);
}

static void normalising_is_as_declared(void **state)
{
    (void)state;
    const uint8_t plane[] = {0, 51, 255};
    float tensor[3];
    sl_preprocess_normalise(plane, 3, 0, 255, tensor);
    assert_float_equal(tensor[0], 0, 0);
    assert_float_equal(tensor[1], 0.2f, 1e-7);
    assert_float_equal(tensor[2], 1, 0);
    sl_preprocess_normalise(plane, 3, 51, 2, tensor);
    assert_float_equal(tensor[0], -25.5f, 0);
    assert_float_equal(tensor[1], 0, 0);
    assert_float_equal(tensor[2], 102, 0);
}

static void refused(struct sl_picture p, const char *says)
{
    struct sl_error error = {""};
    assert_int_equal(sl_picture_check(&p, &error), -EINVAL);
    if (!strstr(error.message, says))
        fail_msg("'%s' does not say '%s'", error.message, says);
}

static void impossible_pictures_are_refused(void **state)
{
    (void)state;
    const uint8_t b[64] = {0};
    refused((struct sl_picture){0, 4, 4, {b}, {4}}, "pixel format 0");
    refused((struct sl_picture){99, 4, 4, {b}, {4}}, "pixel format 99");
    refused((struct sl_picture){UINT32_MAX, 4, 4, {b}, {4}}, "pixel format");
    refused((struct sl_picture){SL_PIXELS_GREY, 0, 4, {b}, {4}}, "0 x 4");
    refused((struct sl_picture){SL_PIXELS_GREY, 4, 16385, {b}, {4}}, "4 x 16385");
    refused((struct sl_picture){SL_PIXELS_GREY, 4, 4, {NULL}, {4}}, "plane 0");
    refused((struct sl_picture){SL_PIXELS_GREY, 4, 4, {b}, {3}}, "needs 4");
    refused((struct sl_picture){SL_PIXELS_RGB, 4, 4, {b}, {11}}, "needs 12");
    refused((struct sl_picture){SL_PIXELS_BGRX, 4, 4, {b}, {15}}, "needs 16");
    refused((struct sl_picture){SL_PIXELS_YUYV, 3, 4, {b}, {8}}, "even");
    refused((struct sl_picture){SL_PIXELS_YUYV, 4, 4, {b}, {7}}, "needs 8");
    refused((struct sl_picture){SL_PIXELS_NV12, 4, 3, {b, b}, {4, 4}}, "even");
    refused((struct sl_picture){SL_PIXELS_NV12, 4, 4, {b, NULL}, {4, 4}}, "plane 1");
    refused((struct sl_picture){SL_PIXELS_NV12, 4, 4, {b, b}, {4, 3}}, "needs 4");
    refused((struct sl_picture){SL_PIXELS_I420, 4, 4, {b, b, NULL}, {4, 2, 2}}, "plane 2");
    refused((struct sl_picture){SL_PIXELS_I420, 4, 4, {b, b, b}, {4, 2, 1}}, "needs 2");
    const struct sl_picture odd = {SL_PIXELS_YUYV, 2, 3, {b}, {4}};
    assert_int_equal(sl_picture_check(&odd, NULL), 0);
}

static void a_refused_picture_leaves_the_planes(void **state)
{
    (void)state;
    const struct sl_input_contract input = contract(2, 2, SL_FIT_STRETCH);
    const uint8_t b[4] = {0};
    const struct sl_picture bad = {SL_PIXELS_GREY, 2, 2, {b}, {1}};
    uint8_t out[4] = {9, 9, 9, 9};
    struct sl_preprocess *pre;
    struct sl_fit_map map;
    assert_int_equal(sl_preprocess_new(&input, &pre, NULL), 0);
    assert_int_equal(
        sl_preprocess_planes(pre, &bad, true, (uint8_t *[3]){out, NULL, NULL}, &map, NULL),
        -EINVAL);
    EXPECT(out, 9, 9, 9, 9);
    sl_preprocess_free(pre);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grey_goes_through),
        cmocka_unit_test(packed_colours_are_told_apart),
        cmocka_unit_test(yuv_formats_agree),
        cmocka_unit_test(stretching_is_bilinear_about_pixel_centres),
        cmocka_unit_test(a_letterbox_keeps_the_shape),
        cmocka_unit_test(every_size_stays_inside),
        cmocka_unit_test(sizes_may_change_from_picture_to_picture),
        cmocka_unit_test(normalising_is_as_declared),
        cmocka_unit_test(impossible_pictures_are_refused),
        cmocka_unit_test(a_refused_picture_leaves_the_planes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
