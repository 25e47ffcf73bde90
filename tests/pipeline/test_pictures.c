// Pictures for people: every format becomes a JPEG that shows the same, what does not fit is
// counted, and nothing waits.
#include "pipeline/pictures.h"

#include "inference/picture.h"
#include "pipeline/shrink.h"

#include <gst/video/video.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MAX_SEEN = 64 };

struct seen {
    GMutex lock, gate; // the sink waits at the gate
    guint n;
    struct sl_picture_out out[MAX_SEEN];
    guint width[MAX_SEEN], height[MAX_SEEN];
    guint8 middle[MAX_SEEN][3];
};

static void decode(struct seen *s, guint at, const void *jpeg, gsize size)
{
    static guint8 pixels[3 * 1300 * 1300];
    struct sl_jpeg *decoder = NULL;
    struct sl_picture picture;
    const struct sl_jpeg_request request = {.pixels = SL_PIXELS_RGB, .scale = 1};
    assert_int_equal(sl_jpeg_new(&decoder, NULL), 0);
    assert_int_equal(sl_jpeg_size(decoder, jpeg, size, &s->width[at], &s->height[at], NULL), 0);
    assert_int_equal(sl_jpeg_decode(decoder, jpeg, size, &request, pixels, 3 * s->width[at],
                                    sizeof(pixels), &picture, NULL),
                     0);
    memcpy(s->middle[at],
           pixels + 3 * ((gsize)s->width[at] * (s->height[at] / 2) + s->width[at] / 2), 3);
    sl_jpeg_free(decoder);
}

static void sink(void *ctx, const struct sl_picture_out *picture)
{
    struct seen *s = ctx;
    g_mutex_lock(&s->gate);
    g_mutex_unlock(&s->gate);
    g_mutex_lock(&s->lock);
    assert_in_range(picture->size, 100, SL_PICTURES_MAX_BYTES);
    decode(s, s->n, picture->jpeg, picture->size);
    s->out[s->n++] = *picture;
    g_mutex_unlock(&s->lock);
}

static GstBuffer *make_frame(GstVideoFormat format, guint width, guint height, GstCaps **caps)
{
    GstVideoInfo info;
    gst_video_info_set_format(&info, format, width, height);
    GstBuffer *buffer = gst_buffer_new_allocate(NULL, info.size, NULL);
    *caps = gst_video_info_to_caps(&info);
    GstVideoFrame frame;
    assert_true(gst_video_frame_map(&frame, &info, buffer, GST_MAP_WRITE));
    // Red 200, green 100, blue 40; in YUV (BT.601, full range) 123, 81, 183.
    const struct {
        GstVideoFormat format;
        guint8 bytes[3][4];
        guint n[3];
    } fills[] = {
        {GST_VIDEO_FORMAT_GRAY8, {{123}}, {1}},
        {GST_VIDEO_FORMAT_RGB, {{200, 100, 40}}, {3}},
        {GST_VIDEO_FORMAT_BGR, {{40, 100, 200}}, {3}},
        {GST_VIDEO_FORMAT_RGBx, {{200, 100, 40, 0}}, {4}},
        {GST_VIDEO_FORMAT_BGRx, {{40, 100, 200, 0}}, {4}},
        {GST_VIDEO_FORMAT_NV12, {{123}, {81, 183}}, {1, 2}},
        {GST_VIDEO_FORMAT_I420, {{123}, {81}, {183}}, {1, 1, 1}},
        {GST_VIDEO_FORMAT_YUY2, {{123, 81, 123, 183}}, {4}},
    };
    for (guint f = 0; f < G_N_ELEMENTS(fills); f++) {
        for (guint p = 0; fills[f].format == format && p < GST_VIDEO_FRAME_N_PLANES(&frame); p++) {
            guint8 *plane = GST_VIDEO_FRAME_PLANE_DATA(&frame, p);
            const gsize size = (gsize)GST_VIDEO_FRAME_PLANE_STRIDE(&frame, p) *
                               (gsize)GST_VIDEO_FRAME_COMP_HEIGHT(&frame, p);
            for (gsize i = 0; i < size; i++)
                plane[i] = fills[f].bytes[p][i % fills[f].n[p]];
        }
    }
    gst_video_frame_unmap(&frame);
    return buffer;
}

static struct seen *seen_new(void)
{
    struct seen *s = g_new0(struct seen, 1);
    g_mutex_init(&s->lock);
    g_mutex_init(&s->gate);
    return s;
}

static struct sl_verdict judged(uint32_t result, const char *part)
{
    struct sl_verdict v = {.result = result};
    g_strlcpy(v.part_id, part, sizeof(v.part_id));
    return v;
}

static void test_every_format_shows_the_same(void **state)
{
    static const GstVideoFormat formats[] = {GST_VIDEO_FORMAT_GRAY8, GST_VIDEO_FORMAT_RGB,
                                             GST_VIDEO_FORMAT_BGR,   GST_VIDEO_FORMAT_RGBx,
                                             GST_VIDEO_FORMAT_BGRx,  GST_VIDEO_FORMAT_NV12,
                                             GST_VIDEO_FORMAT_I420,  GST_VIDEO_FORMAT_YUY2};
    (void)state;
    for (guint i = 0; i < G_N_ELEMENTS(formats); i++) {
        struct seen *s = seen_new();
        struct sl_pictures *p = sl_pictures_new(&(struct sl_config_evidence){0}, sink, s);
        GstCaps *caps;
        GstBuffer *frame = make_frame(formats[i], 96, 64, &caps);
        struct sl_verdict v = judged(SL_RESULT_NG, "a");
        sl_pictures_part(p, frame, caps, &v);
        sl_pictures_free(p);
        assert_int_equal(s->n, 1);
        assert_string_equal(s->out[0].crop, v.crop);
        assert_string_equal(s->out[0].part_id, "a");
        assert_int_equal(s->width[0], 96);
        assert_int_equal(s->height[0], 64);
        const int wanted[3] = {i ? 200 : 123, i ? 100 : 123, i ? 40 : 123};
        for (int c = 0; c < 3; c++)
            assert_in_range(s->middle[0][c] + 6 - wanted[c], 0, 12);
        gst_caps_unref(caps);
        gst_buffer_unref(frame);
        g_free(s);
    }
}

static void test_large_and_noisy_fits_the_limit(void **state)
{
    struct seen *s = seen_new();
    struct sl_pictures *p = sl_pictures_new(&(struct sl_config_evidence){0}, sink, s);
    GstCaps *caps;
    GstBuffer *frame = make_frame(GST_VIDEO_FORMAT_GRAY8, 2592, 1944, &caps);
    GstMapInfo map;
    (void)state;
    assert_true(gst_buffer_map(frame, &map, GST_MAP_WRITE));
    uint32_t random = 1;
    for (gsize i = 0; i < map.size; i++)
        map.data[i] = (guint8)((random = random * 1664525u + 1013904223u) >> 24);
    gst_buffer_unmap(frame, &map);
    struct sl_verdict v = judged(SL_RESULT_NG, "noise");
    sl_pictures_part(p, frame, caps, &v);
    sl_pictures_free(p);
    assert_int_equal(s->n, 1);
    assert_in_range(s->width[0], 200, SL_PICTURES_MAX_SIDE);
    assert_true(fabs((double)s->width[0] / s->height[0] - 4.0 / 3) < 0.02);
    gst_caps_unref(caps);
    gst_buffer_unref(frame);
    g_free(s);
}

static void test_no_free_slot_is_counted_and_never_waits(void **state)
{
    struct seen *s = seen_new();
    struct sl_pictures *p = sl_pictures_new(&(struct sl_config_evidence){0}, sink, s);
    GstCaps *caps;
    GstBuffer *frame = make_frame(GST_VIDEO_FORMAT_GRAY8, 64, 64, &caps);
    struct sl_pictures_stats stats;
    guint named = 0;
    (void)state;
    g_mutex_lock(&s->gate); // the thread hangs in the sink
    for (guint i = 0; i < 20; i++) {
        struct sl_verdict v = judged(SL_RESULT_NG, "x");
        sl_pictures_part(p, frame, caps, &v);
        named += v.crop[0] != '\0';
    }
    sl_pictures_get_stats(p, &stats);
    assert_int_equal(named, SL_PICTURES_SLOTS);
    assert_int_equal(stats.dropped, 20 - SL_PICTURES_SLOTS);
    g_mutex_unlock(&s->gate);
    sl_pictures_free(p);
    assert_int_equal(s->n, SL_PICTURES_SLOTS);
    for (guint i = 1; i < s->n; i++)
        assert_true(strcmp(s->out[i - 1].crop, s->out[i].crop) < 0);
    gst_caps_unref(caps);
    gst_buffer_unref(frame);
    g_free(s);
}

static void test_a_preview_leaves_room_for_parts(void **state)
{
    struct seen *s = seen_new();
    struct sl_pictures *p = sl_pictures_new(&(struct sl_config_evidence){0}, sink, s);
    GstCaps *caps;
    GstBuffer *frame = make_frame(GST_VIDEO_FORMAT_GRAY8, 64, 64, &caps);
    const gint64 now = g_get_monotonic_time() * 1000, second = 1000000000;
    struct sl_verdict v = judged(SL_RESULT_NG, "x");
    (void)state;
    sl_pictures_frame(p, frame, caps, now); // nobody asks
    g_mutex_lock(&s->gate);
    sl_pictures_preview(p, 5, now + 10 * second);
    for (guint i = 0; i < 20; i++)
        sl_pictures_frame(p, frame, caps, now + i * second / 5);
    sl_pictures_part(p, frame, caps, &v);
    assert_true(v.crop[0]);
    g_mutex_unlock(&s->gate);
    sl_pictures_free(p);
    assert_int_equal(s->n, SL_PICTURES_SLOTS / 2 + 1);
    assert_int_equal(s->out[0].kind, SL_PICTURE_PREVIEW);
    assert_string_equal(s->out[0].crop, "");
    gst_caps_unref(caps);
    gst_buffer_unref(frame);
    g_free(s);
}

static void test_the_rate_and_the_end_of_a_preview(void **state)
{
    struct seen *s = seen_new();
    struct sl_pictures *p = sl_pictures_new(&(struct sl_config_evidence){0}, sink, s);
    GstCaps *caps;
    GstBuffer *frame = make_frame(GST_VIDEO_FORMAT_GRAY8, 16, 16, &caps);
    const gint64 now = g_get_monotonic_time() * 1000, second = 1000000000;
    (void)state;
    sl_pictures_preview(p, 2, now + 3 * second);
    for (guint i = 0; i < 100; i++) { // ten seconds of ten frames each
        sl_pictures_frame(p, frame, caps, now + i * second / 10);
        g_usleep(500);
        struct sl_pictures_stats stats;
        do // deterministic however busy the machine is
            sl_pictures_get_stats(p, &stats);
        while (stats.encoded + stats.failed < MIN(i / 5 + 1, 6));
    }
    sl_pictures_free(p);
    assert_int_equal(s->n, 6);
    gst_caps_unref(caps);
    gst_buffer_unref(frame);
    g_free(s);
}

static void test_share_of_ok_parts(void **state)
{
    struct seen *s = seen_new();
    struct sl_pictures *p =
        sl_pictures_new(&(struct sl_config_evidence){.ok_share = 0.25}, sink, s);
    GstCaps *caps;
    GstBuffer *frame = make_frame(GST_VIDEO_FORMAT_GRAY8, 16, 16, &caps);
    guint named = 0;
    (void)state;
    for (guint i = 0; i < 40; i++) {
        struct sl_verdict v = judged(SL_RESULT_OK, "x");
        struct sl_pictures_stats stats;
        sl_pictures_part(p, frame, caps, &v);
        named += v.crop[0] != '\0';
        do
            sl_pictures_get_stats(p, &stats);
        while (stats.encoded < named);
    }
    assert_int_equal(named, 10);
    sl_pictures_free(p);
    gst_caps_unref(caps);
    gst_buffer_unref(frame);
    g_free(s);
}

static void test_the_first_bad_frame_of_a_part(void **state)
{
    struct seen *s = seen_new();
    struct sl_pictures *p = sl_pictures_new(&(struct sl_config_evidence){0}, sink, s);
    GstCaps *small, *large;
    GstBuffer *first = make_frame(GST_VIDEO_FORMAT_GRAY8, 32, 16, &small);
    GstBuffer *second = make_frame(GST_VIDEO_FORMAT_GRAY8, 64, 48, &large);
    struct sl_verdict ng = judged(SL_RESULT_NG, "a"), ok = judged(SL_RESULT_OK, "b"),
                      late = judged(SL_RESULT_ERROR, "c"), none = judged(SL_RESULT_ERROR, "d");
    (void)state;
    sl_pictures_keep(p, first, small);
    sl_pictures_keep(p, second, large);
    sl_pictures_part(p, second, large, &ng);
    sl_pictures_keep(p, first, small); // a majority of good frames
    sl_pictures_part(p, second, large, &ok);
    sl_pictures_keep(p, second, large);
    sl_pictures_part(p, NULL, NULL, &late); // by its deadline
    sl_pictures_part(p, NULL, NULL, &none); // without any frame
    assert_true(ng.crop[0] && !ok.crop[0] && late.crop[0] && !none.crop[0]);
    sl_pictures_free(p);
    assert_int_equal(s->n, 2);
    assert_int_equal(s->width[0], 32);
    assert_int_equal(s->width[1], 64);
    gst_caps_unref(small);
    gst_caps_unref(large);
    gst_buffer_unref(first);
    gst_buffer_unref(second);
    g_free(s);
}

static void test_a_snapshot_comes_once(void **state)
{
    struct seen *s = seen_new();
    struct sl_pictures *p = sl_pictures_new(&(struct sl_config_evidence){0}, sink, s);
    GstCaps *caps;
    GstBuffer *frame = make_frame(GST_VIDEO_FORMAT_RGB, 31, 17, &caps);
    char one[24], two[24];
    (void)state;
    sl_pictures_snapshot(p, one);
    sl_pictures_snapshot(p, two); // both get the same picture
    assert_string_equal(one, two);
    sl_pictures_frame(p, frame, caps, 1);
    sl_pictures_frame(p, frame, caps, 2);
    sl_pictures_free(p);
    assert_int_equal(s->n, 1);
    assert_string_equal(s->out[0].crop, one);
    assert_int_equal(s->out[0].kind, SL_PICTURE_SNAPSHOT);
    gst_caps_unref(caps);
    gst_buffer_unref(frame);
    g_free(s);
}

static void test_what_nobody_can_read_is_left_out(void **state)
{
    struct seen *s = seen_new();
    struct sl_pictures *p = sl_pictures_new(&(struct sl_config_evidence){0}, sink, s);
    GstCaps *caps, *strange = gst_caps_new_empty_simple("image/strange");
    GstBuffer *frame = make_frame(GST_VIDEO_FORMAT_RGB, 640, 480, &caps);
    GstBuffer *cut = gst_buffer_new_allocate(NULL, 1000, NULL);
    struct sl_verdict a = judged(SL_RESULT_NG, "a"), b = judged(SL_RESULT_NG, "b"),
                      c = judged(SL_RESULT_NG, "c");
    (void)state;
    sl_pictures_part(p, frame, strange, &a);
    sl_pictures_part(p, cut, caps, &b);
    sl_pictures_part(p, frame, caps, &c);
    assert_true(!a.crop[0] && !b.crop[0] && c.crop[0]);
    sl_pictures_free(p);
    assert_int_equal(s->n, 1);
    gst_caps_unref(caps);
    gst_caps_unref(strange);
    gst_buffer_unref(frame);
    gst_buffer_unref(cut);
    g_free(s);
}

static void test_shrink_averages(void **state)
{
    static const guint8 grey[] = {0, 10, 50, 20, 30, 60, 1, 1, 1};
    const struct sl_picture in = {
        .pixels = SL_PIXELS_GREY, .width = 3, .height = 3, .plane = {grey}, .stride = {3}};
    struct sl_picture out;
    guint8 bytes[9];
    (void)state;
    assert_int_equal(sl_shrink_size(&in, 2), 1);
    sl_shrink(&in, 2, bytes, &out);
    assert_int_equal(bytes[0], 15);
    sl_shrink(&in, 1, bytes, &out);
    assert_memory_equal(bytes, grey, 9);
    assert_int_equal(out.width, 3);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_format_shows_the_same),
        cmocka_unit_test(test_large_and_noisy_fits_the_limit),
        cmocka_unit_test(test_no_free_slot_is_counted_and_never_waits),
        cmocka_unit_test(test_a_preview_leaves_room_for_parts),
        cmocka_unit_test(test_the_rate_and_the_end_of_a_preview),
        cmocka_unit_test(test_share_of_ok_parts),
        cmocka_unit_test(test_the_first_bad_frame_of_a_part),
        cmocka_unit_test(test_a_snapshot_comes_once),
        cmocka_unit_test(test_what_nobody_can_read_is_left_out),
        cmocka_unit_test(test_shrink_averages),
    };
    gst_init(&argc, &argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
