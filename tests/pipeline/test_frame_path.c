// The frame path: from the camera's buffer to the detections nothing is allocated, and damage ends
// in an ERROR frame.
#include "pipeline/elements.h"
#include "pipeline/meta.h"

#include <gst/app/gstappsrc.h>
#include <gst/gst.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { WARM_UP = 10, FRAMES = 40 };

static _Thread_local unsigned long allocations;
static _Thread_local int counting;

// Interposed: counts what this thread asks for while it is in the frame path.
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);
void *malloc(size_t size);
void *calloc(size_t count, size_t size);
void *realloc(void *memory, size_t size);

void *malloc(size_t size)
{
    allocations += (unsigned long)counting;
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    allocations += (unsigned long)counting;
    return __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size)
{
    allocations += (unsigned long)counting;
    return __libc_realloc(memory, size);
}

struct seen {
    unsigned frames, defects, damaged, judged;
    unsigned long after_warm_up;
    gchar message[256];
};

static GstPadProbeReturn on_arrival(GstPad *pad, GstPadProbeInfo *info, gpointer data)
{
    (void)pad;
    (void)info;
    (void)data;
    allocations = 0;
    counting = 1;
    return GST_PAD_PROBE_OK;
}

static GstPadProbeReturn on_result(GstPad *pad, GstPadProbeInfo *info, gpointer data)
{
    struct seen *seen = data;
    (void)pad;
    counting = 0;
    const SightlineInspectionMeta *meta =
        sightline_buffer_get_inspection_meta(GST_PAD_PROBE_INFO_BUFFER(info));
    seen->frames++;
    if (seen->frames > WARM_UP)
        seen->after_warm_up += allocations;
    if (meta && meta->status == 0) {
        seen->judged++;
        seen->defects += meta->result.count;
    } else if (meta) {
        seen->damaged++;
        g_strlcpy(seen->message, meta->message, sizeof(seen->message));
    }
    return GST_PAD_PROBE_OK;
}

static void watch_pad(GstElement *pipeline, const char *element, const char *pad_name,
                      GstPadProbeCallback probe, gpointer data)
{
    g_autoptr(GstElement) found = gst_bin_get_by_name(GST_BIN(pipeline), element);
    g_autoptr(GstPad) pad = gst_element_get_static_pad(found, pad_name);
    gst_pad_add_probe(pad, GST_PAD_PROBE_TYPE_BUFFER, probe, data, NULL);
}

static void run_to_end(GstElement *pipeline)
{
    gst_element_set_state(pipeline, GST_STATE_PLAYING);
    g_autoptr(GstBus) bus = gst_element_get_bus(pipeline);
    g_autoptr(GstMessage) message =
        gst_bus_timed_pop_filtered(bus, 60 * GST_SECOND, GST_MESSAGE_EOS | GST_MESSAGE_ERROR);
    assert_non_null(message);
    if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_ERROR) {
        g_autoptr(GError) error = NULL;
        gst_message_parse_error(message, &error, NULL);
        fail_msg("%s", error->message);
    }
    gst_element_set_state(pipeline, GST_STATE_NULL);
}

static void inspect_line(const char *caps, struct seen *seen)
{
    g_autofree gchar *text = g_strdup_printf(
        "sightlinelinesrc name=source num-buffers=%d defect-rate=0.5 ! %s,framerate=100/1 ! "
        "sightlinejpegdec ! sightlinedetect model=%s/deploy/models/pcb roi-meta=false "
        "post-messages=false ! fakesink name=sink sync=false",
        FRAMES, caps, SL_SOURCE_DIR);
    g_autoptr(GError) error = NULL;
    g_autoptr(GstElement) pipeline = gst_parse_launch(text, &error);
    assert_null(error);
    watch_pad(pipeline, "source", "src", on_arrival, seen);
    watch_pad(pipeline, "sink", "sink", on_result, seen);
    run_to_end(pipeline);
}

static void test_jpeg_allocates_nothing(void **state)
{
    struct seen seen = {0};
    (void)state;
    inspect_line("image/jpeg", &seen);
    assert_int_equal(seen.frames, FRAMES);
    assert_int_equal(seen.judged, FRAMES);
    assert_true(seen.defects > 0);
    assert_int_equal(seen.after_warm_up, 0);
}

static void test_raw_allocates_nothing(void **state)
{
    struct seen seen = {0};
    (void)state;
    inspect_line("video/x-raw,format=GRAY8", &seen);
    assert_int_equal(seen.judged, FRAMES);
    assert_int_equal(seen.after_warm_up, 0);
}

static void push_bytes(GstElement *source, const void *bytes, gsize size)
{
    assert_int_equal(
        gst_app_src_push_buffer(GST_APP_SRC(source), gst_buffer_new_memdup(bytes, size)),
        GST_FLOW_OK);
}

// Every buffer that goes in comes out: judged or as an error.
static void test_damage_is_an_error_frame(void **state)
{
    struct seen seen = {0};
    g_autofree gchar *picture = NULL;
    gsize size;
    (void)state;
    assert_true(g_file_get_contents(SL_SOURCE_DIR "/deploy/models/pcb/golden/000000_test.jpg",
                                    &picture, &size, NULL));
    g_autofree gchar *text = g_strdup_printf(
        "appsrc name=source caps=image/jpeg ! sightlinejpegdec ! sightlinedetect "
        "model=%s/deploy/models/pcb reference=%s/deploy/models/pcb/golden/000000_temp.jpg "
        "roi-meta=false post-messages=false ! fakesink name=sink sync=false",
        SL_SOURCE_DIR, SL_SOURCE_DIR);
    g_autoptr(GstElement) pipeline = gst_parse_launch(text, NULL);
    g_autoptr(GstElement) source = gst_bin_get_by_name(GST_BIN(pipeline), "source");
    watch_pad(pipeline, "sink", "sink", on_result, &seen);
    gst_element_set_state(pipeline, GST_STATE_PLAYING);
    push_bytes(source, "no picture", 10);
    push_bytes(source, picture, size);
    push_bytes(source, picture, size / 2);
    push_bytes(source, picture, size);
    picture[size / 2] ^= 0x5a;
    push_bytes(source, picture, size);
    gst_app_src_end_of_stream(GST_APP_SRC(source));
    run_to_end(pipeline);
    assert_int_equal(seen.frames, 5);
    assert_true(seen.judged >= 2 && seen.damaged >= 2);
    assert_non_null(strstr(seen.message, "picture"));
}

static void test_model_that_cannot_run_is_refused_by_name(void **state)
{
    g_autoptr(GstElement) pipeline =
        gst_parse_launch("sightlinelinesrc num-buffers=1 ! sightlinejpegdec ! sightlinedetect "
                         "model=/nowhere ! fakesink",
                         NULL);
    (void)state;
    assert_int_equal(gst_element_set_state(pipeline, GST_STATE_PLAYING), GST_STATE_CHANGE_FAILURE);
    g_autoptr(GstBus) bus = gst_element_get_bus(pipeline);
    g_autoptr(GstMessage) message = gst_bus_pop_filtered(bus, GST_MESSAGE_ERROR);
    assert_non_null(message);
    g_autoptr(GError) error = NULL;
    gst_message_parse_error(message, &error, NULL);
    assert_non_null(strstr(error->message, "/nowhere"));
    gst_element_set_state(pipeline, GST_STATE_NULL);
}

static void test_missing_folder_is_an_error_that_names_it(void **state)
{
    g_autoptr(GstElement) pipeline =
        gst_parse_launch("sightlinepicturesrc location=/no/such/folder ! fakesink", NULL);
    (void)state;
    assert_int_equal(gst_element_set_state(pipeline, GST_STATE_PLAYING), GST_STATE_CHANGE_FAILURE);
    g_autoptr(GstBus) bus = gst_element_get_bus(pipeline);
    g_autoptr(GstMessage) message = gst_bus_pop_filtered(bus, GST_MESSAGE_ERROR);
    g_autoptr(GError) error = NULL;
    gst_message_parse_error(message, &error, NULL);
    assert_non_null(strstr(error->message, "/no/such/folder"));
    gst_element_set_state(pipeline, GST_STATE_NULL);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_jpeg_allocates_nothing),
        cmocka_unit_test(test_raw_allocates_nothing),
        cmocka_unit_test(test_damage_is_an_error_frame),
        cmocka_unit_test(test_model_that_cannot_run_is_refused_by_name),
        cmocka_unit_test(test_missing_folder_is_an_error_that_names_it),
    };
    gst_init(&argc, &argv);
    sightline_elements_register(NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
