// Models change places under a running line; no frame may be lost or fail.
//
//     swap-under-load [--frames N] [--rate R] [--every N] [--json]
//
// Boards of the simulated line pass decoder and detector. Every N frames the next of these happens:
// a shadow begins, it becomes a swap, the swap is rolled back, a swap without a shadow, its commit.
// Frames are counted where they leave the source and where they leave the detector.
#include "pipeline/elements.h"
#include "pipeline/meta.h"
#include "pipeline/trial.h"

#include <argp.h>
#include <gst/gst.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct options {
    guint frames, every;
    double rate;
    gboolean json;
};

static struct {
    gint made, served, failed; // atomic
    guint64 last_number;
    guint gaps;
    gint64 longest_ns; // from arrival to verdict
    gchar message[256];
} seen;

static guint steps[5]; // how often each was done

static GstPadProbeReturn on_made(GstPad *pad, GstPadProbeInfo *info, gpointer data)
{
    (void)pad;
    (void)info;
    (void)data;
    g_atomic_int_inc(&seen.made);
    return GST_PAD_PROBE_OK;
}

static guint64 number_of(const gchar *part_id)
{
    const gchar *digits = part_id + strcspn(part_id, "0123456789");
    return g_ascii_strtoull(digits, NULL, 10);
}

static GstPadProbeReturn on_served(GstPad *pad, GstPadProbeInfo *info, gpointer data)
{
    GstBuffer *buffer = GST_PAD_PROBE_INFO_BUFFER(info);
    const SightlineInspectionMeta *m = sightline_buffer_get_inspection_meta(buffer);
    const SightlinePartMeta *part = sightline_buffer_get_part_meta(buffer);
    (void)pad;
    (void)data;
    if (!m || !part || m->status != 0) {
        g_atomic_int_inc(&seen.failed);
        g_strlcpy(seen.message, m ? m->message : "not inspected", sizeof(seen.message));
    }
    if (part) {
        const guint64 number = number_of(part->part_id);
        seen.gaps += seen.last_number > 0 && number != seen.last_number + 1;
        seen.last_number = number;
    }
    if (m)
        seen.longest_ns = MAX(seen.longest_ns, m->done_ns - m->arrival_ns);
    g_atomic_int_inc(&seen.served);
    return GST_PAD_PROBE_OK;
}

static void must(int status, const struct sl_error *error)
{
    if (status == 0)
        return;
    fprintf(stderr, "swap-under-load: %s\n", error->message);
    exit(1);
}

static struct sl_served *load(GstElement *detect)
{
    struct sl_error error = {""};
    struct sl_model_source *source = NULL;
    struct sl_served *served = NULL;
    must(sl_model_source_directory(SL_SOURCE_DIR "/deploy/models/pcb", &source, &error), &error);
    must(sl_served_new(source, sightline_detect_get_settings(detect), &served, &error), &error);
    return served;
}

static void change(GstElement *detect, guint step)
{
    struct sl_trial *trial = sightline_detect_get_trial(detect);
    struct sl_error error = {""};
    switch (step) {
    case 0:
        must(sl_trial_shadow(trial, load(detect), 0.8f, &error), &error);
        break;
    case 1:
        must(sl_trial_swap(trial, NULL, &error), &error);
        break;
    case 2:
        sl_trial_roll_back(trial);
        break;
    case 3:
        must(sl_trial_swap(trial, load(detect), &error), &error);
        break;
    default:
        sl_trial_commit(trial);
    }
    steps[step]++;
}

static GstElement *find(GstElement *pipeline, const char *name)
{
    return gst_bin_get_by_name(GST_BIN(pipeline), name);
}

static void watch(GstElement *element, const char *name, GstPadProbeCallback probe)
{
    g_autoptr(GstPad) pad = gst_element_get_static_pad(element, name);
    gst_pad_add_probe(pad, GST_PAD_PROBE_TYPE_BUFFER, probe, NULL, NULL);
}

static gboolean run(const struct options *o)
{
    g_autofree gchar *line = g_strdup_printf(
        "sightlinelinesrc name=source num-buffers=%u ! image/jpeg,framerate=%u/1 ! sightlinejpegdec ! "
        "sightlinedetect name=detect model=" SL_SOURCE_DIR "/deploy/models/pcb post-messages=false "
        "! fakesink name=sink sync=false",
        o->frames, (guint)o->rate);
    g_autoptr(GError) problem = NULL;
    g_autoptr(GstElement) pipeline = gst_parse_launch(line, &problem);
    if (!pipeline || problem) {
        fprintf(stderr, "swap-under-load: %s\n", problem ? problem->message : "no pipeline");
        return FALSE;
    }
    g_autoptr(GstElement) source = find(pipeline, "source");
    g_autoptr(GstElement) detect = find(pipeline, "detect");
    g_autoptr(GstElement) sink = find(pipeline, "sink");
    g_autoptr(GstBus) bus = gst_element_get_bus(pipeline);
    watch(source, "src", on_made);
    watch(sink, "sink", on_served);
    gst_element_set_state(pipeline, GST_STATE_PLAYING);
    g_autoptr(GstMessage) end = NULL;
    for (guint next = 0; !end;) {
        end = gst_bus_timed_pop_filtered(bus, 2 * GST_MSECOND,
                                         GST_MESSAGE_EOS | GST_MESSAGE_ERROR);
        if ((guint)g_atomic_int_get(&seen.served) < (next + 1) * o->every || end)
            continue;
        change(detect, next++ % G_N_ELEMENTS(steps));
    }
    const gboolean good = GST_MESSAGE_TYPE(end) == GST_MESSAGE_EOS;
    gst_element_set_state(pipeline, GST_STATE_NULL);
    return good;
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct options *o = state->input;
    char *end = text;
    const double value = text ? strtod(text, &end) : 1;
    if (text && (*end || value <= 0 || value > 1e9))
        argp_error(state, "'%s': expected a number above 0", text);
    switch (key) {
    case 'n':
        o->frames = (guint)value;
        return 0;
    case 'e':
        o->every = (guint)value;
        return 0;
    case 'r':
        o->rate = value;
        return 0;
    case 'j':
        o->json = TRUE;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int main(int argc, char **argv)
{
    static const struct argp_option rows[] = {
        {"frames", 'n', "N", 0, "Frames (120)", 0},
        {"rate", 'r', "R", 0, "Frames per second (1000: as fast as they can be judged)", 0},
        {"every", 'e', "N", 0, "Frames between two changes (8)", 0},
        {"json", 'j', NULL, 0, "For scripts", 0},
        {0}};
    const struct argp argp = {rows, parse, NULL, "Counts frames lost while models change places.",
                              NULL, NULL, NULL};
    struct options o = {.frames = 120, .every = 8, .rate = 1000};
    argp_parse(&argp, argc, argv, 0, NULL, &o);
    gst_init(NULL, NULL);
    sightline_elements_register(NULL);
    const gboolean ended = run(&o);
    const gint lost = seen.made - seen.served;
    printf(o.json ? "{\"frames\": %d, \"lost\": %d, \"failed\": %d, \"gaps\": %u, \"shadows\": %u, "
                    "\"swaps\": %u, \"rollbacks\": %u, \"commits\": %u, \"longest_ms\": %.1f}\n"
                  : "%d frames, %d lost, %d failed, %u gaps; %u shadows, %u swaps, %u rollbacks, "
                    "%u commits; longest frame %.1f ms\n",
           seen.made, lost, seen.failed, seen.gaps, steps[0], steps[1] + steps[3], steps[2],
           steps[4], (double)seen.longest_ns / 1e6);
    if (seen.failed > 0)
        fprintf(stderr, "swap-under-load: %s\n", seen.message);
    return ended && seen.made > 0 && lost == 0 && seen.failed == 0 && seen.gaps == 0 &&
                   (guint)seen.made == o.frames && steps[4] > 0
               ? 0
               : 1;
}
