// JPEG: regions and scales against the whole picture, damage, limits, allocations, a corpus.
#include "inference/picture.h"
#include "tests/inference/allocations.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jpeglib.h>

#define WIDTH  203u
#define HEIGHT 157u

struct bytes {
    uint8_t *at;
    size_t size, capacity;
};

static struct sl_jpeg *jpeg;
static struct sl_error error;
static uint8_t source[WIDTH * HEIGHT * 3];

static int set_up(void **state)
{
    (void)state;
    for (uint32_t y = 0; y < HEIGHT; y++)
        for (uint32_t x = 0; x < WIDTH; x++) {
            uint8_t *p = source + (y * WIDTH + x) * 3;
            p[0] = (uint8_t)(x + y / 2);
            p[1] = (x / 9 + y / 7) % 2 ? 150 : 100;
            p[2] = (uint8_t)(255 - y);
        }
    return sl_jpeg_new(&jpeg, &error);
}

static int tear_down(void **state)
{
    (void)state;
    sl_jpeg_free(jpeg);
    return 0;
}

static struct bytes encoded(uint32_t pixels)
{
    struct bytes b = {0};
    const struct sl_picture p = {.pixels = pixels,
                                 .width = WIDTH,
                                 .height = HEIGHT,
                                 .plane = {source},
                                 .stride = {WIDTH * 3}};
    assert_int_equal(sl_jpeg_encode(&p, 90, &b.at, &b.capacity, &b.size, &error), 0);
    return b;
}

// What the product never writes but has to read: progressive, other sampling, restarts.
static struct bytes written_by_libjpeg(bool progressive, int h, int v, J_COLOR_SPACE space)
{
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr e;
    unsigned char *at = NULL;
    unsigned long size = 0;

    c.err = jpeg_std_error(&e);
    jpeg_create_compress(&c);
    jpeg_mem_dest(&c, &at, &size);
    c.image_width = space == JCS_CMYK ? WIDTH * 3 / 4 : WIDTH;
    c.image_height = HEIGHT;
    c.input_components = space == JCS_CMYK ? 4 : 3;
    c.in_color_space = space;
    jpeg_set_defaults(&c);
    c.comp_info[0].h_samp_factor = h;
    c.comp_info[0].v_samp_factor = v;
    c.restart_in_rows = 2;
    if (progressive)
        jpeg_simple_progression(&c);
    jpeg_start_compress(&c, TRUE);
    while (c.next_scanline < c.image_height) {
        JSAMPROW row = source + c.next_scanline * WIDTH * 3;
        jpeg_write_scanlines(&c, &row, 1);
    }
    jpeg_finish_compress(&c);
    jpeg_destroy_compress(&c);
    return (struct bytes){at, size, size};
}

static int decode(const struct bytes *b, const struct sl_jpeg_request *request, uint8_t *dst,
                  struct sl_picture *out)
{
    return sl_jpeg_decode(jpeg, b->at, b->size, request, dst, WIDTH * 3, WIDTH * 3 * HEIGHT, out,
                          &error);
}

// The encoder halves the resolution of colour, so luma is held to more than the three channels.
static void keeps_the_picture(void **state)
{
    (void)state;
    static uint8_t dst[sizeof(source)];
    struct bytes b = encoded(SL_PIXELS_RGB);
    struct sl_jpeg_request request = {.pixels = SL_PIXELS_RGB, .scale = 1};
    struct sl_picture out;
    uint32_t width = 0, height = 0;
    double colour = 0, luma = 0;

    assert_int_equal(sl_jpeg_size(jpeg, b.at, b.size, &width, &height, &error), 0);
    assert_int_equal(width, WIDTH);
    assert_int_equal(height, HEIGHT);
    assert_int_equal(decode(&b, &request, dst, &out), 0);
    assert_int_equal(out.width, WIDTH);
    assert_int_equal(out.height, HEIGHT);
    assert_ptr_equal(out.plane[0], dst);
    for (size_t i = 0; i < sizeof(source); i++)
        colour += abs(dst[i] - source[i]);
    request.pixels = SL_PIXELS_GREY;
    assert_int_equal(decode(&b, &request, dst, &out), 0);
    for (size_t i = 0; i < WIDTH * HEIGHT; i++) {
        const uint8_t *p = source + 3 * i;
        luma += fabs(dst[i / WIDTH * WIDTH * 3 + i % WIDTH] - 0.299 * p[0] - 0.587 * p[1] -
                     0.114 * p[2]);
    }
    colour /= sizeof(source);
    luma /= WIDTH * HEIGHT;
    print_message("mean difference: colour %.2f, luma %.2f\n", colour, luma);
    assert_true(colour < 8);
    assert_true(luma < 2);
    free(b.at);
}

static void compare_region(const struct bytes *b, uint32_t pixels, uint32_t scale, uint32_t x,
                           uint32_t y, uint32_t w, uint32_t h)
{
    static uint8_t whole[sizeof(source)], part[sizeof(source)];
    const uint32_t channels = pixels == SL_PIXELS_GREY ? 1 : 3;
    struct sl_jpeg_request request = {.pixels = pixels, .scale = scale};
    struct sl_picture full, out;

    assert_int_equal(decode(b, &request, whole, &full), 0);
    assert_int_equal(full.width, (WIDTH + scale - 1) / scale);
    assert_int_equal(full.height, (HEIGHT + scale - 1) / scale);
    request.x = x;
    request.y = y;
    request.width = w;
    request.height = h;
    memset(part, 0xA5, sizeof(part));
    assert_int_equal(decode(b, &request, part, &out), 0);
    assert_int_equal(out.width, (x + w + scale - 1) / scale - x / scale);
    assert_int_equal(out.height, (y + h + scale - 1) / scale - y / scale);
    for (uint32_t row = 0; row < out.height; row++)
        assert_memory_equal(part + row * WIDTH * 3,
                            whole + (size_t)(y / scale + row) * WIDTH * 3 +
                                (size_t)(x / scale) * channels,
                            (size_t)out.width * channels);
}

static void region_and_scale_are_cut_from_the_whole(void **state)
{
    (void)state;
    static const uint32_t regions[][4] = {{0, 0, 203, 157},  {0, 0, 1, 1},     {202, 156, 1, 1},
                                          {16, 16, 64, 64},  {33, 41, 90, 57}, {100, 3, 103, 60},
                                          {7, 120, 190, 37}, {1, 1, 201, 155}};
    static const int sampling[][2] = {{1, 1}, {2, 1}, {2, 2}};

    for (int progressive = 0; progressive < 2; progressive++)
        for (size_t s = 0; s < sizeof(sampling) / sizeof(*sampling); s++) {
            struct bytes b =
                written_by_libjpeg(progressive, sampling[s][0], sampling[s][1], JCS_RGB);
            for (size_t r = 0; r < sizeof(regions) / sizeof(*regions); r++)
                for (uint32_t scale = 1; scale <= 8; scale *= 2)
                    for (uint32_t pixels = SL_PIXELS_GREY; pixels <= SL_PIXELS_RGB; pixels++)
                        compare_region(&b, pixels, scale, regions[r][0], regions[r][1],
                                       regions[r][2], regions[r][3]);
            free(b.at);
        }
}

static void every_truncation_is_damage(void **state)
{
    (void)state;
    static uint8_t dst[sizeof(source)];
    for (int progressive = 0; progressive < 2; progressive++) {
        struct bytes b = written_by_libjpeg(progressive, 2, 2, JCS_RGB);
        struct sl_jpeg_request request = {.pixels = SL_PIXELS_GREY, .scale = 1};
        struct sl_jpeg_request top = {
            .pixels = SL_PIXELS_GREY, .scale = 2, .x = 8, .y = 8, .width = 16, .height = 16};
        struct sl_picture out;

        for (size_t size = 0; size < b.size; size += size + 40 < b.size ? 13 : 1) {
            struct bytes cut = {b.at, size, size};
            assert_int_equal(decode(&cut, &request, dst, &out), -EBADMSG);
            // Not even a region at the top is taken from a picture that is not whole.
            assert_int_equal(decode(&cut, &top, dst, &out), -EBADMSG);
        }
        assert_int_equal(decode(&b, &request, dst, &out), 0);
        assert_int_equal(decode(&b, &top, dst, &out), 0);
        free(b.at);
    }
}

static void does_not_decode_with_the_tables_of_the_picture_before(void **state)
{
    (void)state;
    static uint8_t dst[sizeof(source)];
    struct bytes b = encoded(SL_PIXELS_RGB);
    struct sl_jpeg_request request = {.pixels = SL_PIXELS_RGB, .scale = 1};
    struct sl_picture out;

    assert_int_equal(decode(&b, &request, dst, &out), 0);
    for (size_t i = 0; i + 1 < b.size; i++)
        if (b.at[i] == 0xFF && b.at[i + 1] == 0xDB)
            b.at[i + 1] = 0xEC; // the quantisation tables become an application marker
    assert_int_equal(decode(&b, &request, dst, &out), -EBADMSG);
    assert_non_null(strstr(error.message, "antization table"));
    free(b.at);
}

static void refuses_bad_requests(void **state)
{
    (void)state;
    static uint8_t dst[sizeof(source)];
    struct bytes b = encoded(SL_PIXELS_RGB);
    struct sl_jpeg_request good = {.pixels = SL_PIXELS_GREY, .scale = 1}, r;
    struct sl_picture out;

    static const struct {
        uint32_t x, y, w, h;
    } outside[] = {{0, 0, 204, 10},        {203, 0, 1, 1},          {0, 150, 10, 8},
                   {0, 0, 10, 0},          {UINT32_MAX, 0, 10, 10}, {5, UINT32_MAX, 10, 10},
                   {1, 1, 10, UINT32_MAX}, {5, 5, UINT32_MAX, 5}};
    for (size_t i = 0; i < sizeof(outside) / sizeof(*outside); i++) {
        r = good;
        r.x = outside[i].x, r.y = outside[i].y, r.width = outside[i].w, r.height = outside[i].h;
        assert_int_equal(decode(&b, &r, dst, &out), -ERANGE);
    }
    r = good, r.scale = 3;
    assert_int_equal(decode(&b, &r, dst, &out), -EINVAL);
    r = good, r.pixels = SL_PIXELS_NV12;
    assert_int_equal(decode(&b, &r, dst, &out), -EINVAL);
    r = good, r.max_pixels = WIDTH * HEIGHT - 1;
    assert_int_equal(decode(&b, &r, dst, &out), -EFBIG);
    assert_int_equal(
        sl_jpeg_decode(jpeg, b.at, b.size, &good, dst, WIDTH, WIDTH * HEIGHT - 1, &out, &error),
        -ENOSPC);
    assert_int_equal(
        sl_jpeg_decode(jpeg, b.at, b.size, &good, dst, WIDTH - 1, sizeof(dst), &out, &error),
        -ENOSPC);
    assert_int_equal(
        sl_jpeg_decode(jpeg, b.at, b.size, &good, dst, WIDTH, WIDTH * HEIGHT, &out, &error), 0);
    assert_int_equal(decode(&(struct bytes){0}, &good, dst, &out), -EBADMSG);
    free(b.at);
}

static void refuses_what_has_no_luma(void **state)
{
    (void)state;
    static uint8_t dst[sizeof(source)];
    struct bytes b = written_by_libjpeg(false, 1, 1, JCS_CMYK);
    struct sl_jpeg_request request = {.pixels = SL_PIXELS_GREY, .scale = 1};
    struct sl_picture out;

    assert_int_equal(decode(&b, &request, dst, &out), -ENOTSUP);
    free(b.at);
}

static void refuses_huge_sizes_before_it_allocates(void **state)
{
    (void)state;
    static uint8_t dst[sizeof(source)];
    struct bytes b = written_by_libjpeg(true, 2, 2, JCS_RGB);
    struct sl_jpeg_request request = {.pixels = SL_PIXELS_GREY, .scale = 8};
    struct sl_picture out;
    static const uint16_t sizes[][2] = {{65500, 65500}, {16384, 16384}, {10001, 10000}, {20000, 1}};
    size_t at = 0;

    while (b.at[at] != 0xFF || b.at[at + 1] != 0xC2)
        at++;
    assert_int_equal(decode(&b, &request, dst, &out), 0);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        b.at[at + 5] = (uint8_t)(sizes[i][0] >> 8), b.at[at + 6] = (uint8_t)sizes[i][0];
        b.at[at + 7] = (uint8_t)(sizes[i][1] >> 8), b.at[at + 8] = (uint8_t)sizes[i][1];
        const long before = allocations();
        assert_int_equal(decode(&b, &request, dst, &out), -EFBIG);
        assert_int_equal(allocations(), before);
    }
    free(b.at);
}

static void allocates_nothing_once_it_has_seen_the_size(void **state)
{
    (void)state;
    static uint8_t dst[sizeof(source)];
    if (allocations() < 0)
        skip();
    for (int progressive = 0; progressive < 2; progressive++) {
        struct bytes b = written_by_libjpeg(progressive, 2, 2, JCS_RGB);
        struct sl_jpeg_request grey = {.pixels = SL_PIXELS_GREY, .scale = 1};
        struct sl_jpeg_request part = {
            .pixels = SL_PIXELS_RGB, .scale = 1, .x = 30, .y = 20, .width = 99, .height = 77};
        struct sl_picture out;
        struct sl_jpeg *fresh = NULL;
        uint32_t width, height;

        assert_int_equal(sl_jpeg_new(&fresh, &error), 0);
        long before = allocations();
        for (int i = 0; i < 12; i++) {
            if (i == 2) {
                assert_true(allocations() > before); // or nothing is being counted
                before = allocations();
            }
            assert_int_equal(sl_jpeg_size(fresh, b.at, b.size, &width, &height, &error), 0);
            assert_int_equal(sl_jpeg_decode(fresh, b.at, b.size, &part, dst, WIDTH * 3, sizeof(dst),
                                            &out, &error),
                             0);
            assert_int_equal(sl_jpeg_decode(fresh, b.at, b.size, &grey, dst, WIDTH * 3, sizeof(dst),
                                            &out, &error),
                             0);
            assert_int_equal(sl_jpeg_decode(fresh, b.at, b.size / 2, &grey, dst, WIDTH * 3,
                                            sizeof(dst), &out, &error),
                             -EBADMSG);
        }
        assert_int_equal(allocations(), before);
        sl_jpeg_free(fresh);
        free(b.at);
    }
}

static void encoder_refuses_and_reuses(void **state)
{
    (void)state;
    struct sl_picture p = {.pixels = SL_PIXELS_NV12,
                           .width = WIDTH,
                           .height = HEIGHT,
                           .plane = {source},
                           .stride = {WIDTH * 3}};
    struct bytes b = {0};
    assert_int_equal(sl_jpeg_encode(&p, 90, &b.at, &b.capacity, &b.size, &error), -EINVAL);
    p.pixels = SL_PIXELS_GREY;
    assert_int_equal(sl_jpeg_encode(&p, 0, &b.at, &b.capacity, &b.size, &error), -EINVAL);
    assert_int_equal(sl_jpeg_encode(&p, 101, &b.at, &b.capacity, &b.size, &error), -EINVAL);
    p.width = 0;
    assert_int_equal(sl_jpeg_encode(&p, 90, &b.at, &b.capacity, &b.size, &error), -EINVAL);
    p.width = WIDTH;
    assert_null(b.at);
    b.at = malloc(16); // so small that it has to grow in the middle of the picture
    b.capacity = 16;
    assert_int_equal(sl_jpeg_encode(&p, 100, &b.at, &b.capacity, &b.size, &error), 0);
    const uint8_t *at = b.at;
    const size_t size = b.size;
    assert_int_equal(sl_jpeg_encode(&p, 100, &b.at, &b.capacity, &b.size, &error), 0);
    assert_ptr_equal(b.at, at);
    assert_int_equal(b.size, size);
    free(b.at);
}

static struct bytes read_file(const char *folder, const char *name)
{
    char path[4096];
    struct bytes b = {0};
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return b;
    b.capacity = 4 << 20;
    b.at = malloc(b.capacity);
    b.size = fread(b.at, 1, b.capacity, file);
    fclose(file);
    return b;
}

static void corpus_is_an_error_or_a_picture(void **state)
{
    (void)state;
    char folder[2048];
    const char *shared = getenv("SIGHTLINE_SHARED");
    const size_t room = (size_t)1 << 24;
    unsigned pictures = 0, errors = 0;

    snprintf(folder, sizeof(folder), "%s/data/jpeg-corpus",
             shared != NULL ? shared : SL_SOURCE_DIR "/../shared");
    DIR *dir = opendir(folder);
    if (dir == NULL) {
        print_message("no %s: set SIGHTLINE_SHARED\n", folder);
        skip();
    }
    uint8_t *dst = malloc(room);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        struct bytes b = read_file(folder, entry->d_name);
        for (uint32_t i = 0; b.size > 0 && i < 8; i++) {
            struct sl_jpeg_request r = {.pixels = 1 + i % 2, .scale = 1u << (i / 2)};
            uint32_t width, height;
            struct sl_picture out;
            if (sl_jpeg_size(jpeg, b.at, b.size, &width, &height, &error) == 0 && i >= 4) {
                r.x = width / 3, r.width = (width + 2) / 3;
                r.y = height / 3, r.height = (height + 2) / 3;
            }
            error.message[0] = '\0';
            int status = sl_jpeg_decode(jpeg, b.at, b.size, &r, dst, 4096 * 3, room, &out, &error);
            assert_true(status == 0 || error.message[0] != '\0');
            status == 0 ? pictures++ : errors++;
        }
        free(b.at);
    }
    free(dst);
    closedir(dir);
    print_message("corpus: %u decoded, %u refused\n", pictures, errors);
    assert_true(pictures + errors > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_the_picture),
        cmocka_unit_test(region_and_scale_are_cut_from_the_whole),
        cmocka_unit_test(every_truncation_is_damage),
        cmocka_unit_test(does_not_decode_with_the_tables_of_the_picture_before),
        cmocka_unit_test(refuses_bad_requests),
        cmocka_unit_test(refuses_what_has_no_luma),
        cmocka_unit_test(refuses_huge_sizes_before_it_allocates),
        cmocka_unit_test(allocates_nothing_once_it_has_seen_the_size),
        cmocka_unit_test(encoder_refuses_and_reuses),
        cmocka_unit_test(corpus_is_an_error_or_a_picture),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
