// Models that change places, with a streaming thread made by hand: what is refused, what counts as
// a failure, and that a swap waits for the end of the frame.
#include "pipeline/trial.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { SIDE = 640 };

static struct sl_trial trial;
static struct sl_served_settings settings;
static struct sl_error error;
static struct sl_trial_report report;
static guint8 grey[SIDE * SIDE];

static struct sl_served *load(const gchar *folder)
{
    struct sl_model_source *source = NULL;
    struct sl_served *served = NULL;
    if (sl_model_source_directory(folder, &source, &error) < 0 ||
        sl_served_new(source, &settings, &served, &error) < 0)
        fail_msg("%s", error.message);
    return served;
}

static struct sl_served *pcb(void)
{
    return load(SL_SOURCE_DIR "/deploy/models/pcb");
}

static struct sl_served *serving(void)
{
    struct sl_served *served = sl_trial_frame_begin(&trial);
    sl_trial_frame_end(&trial, -ERANGE, "nothing to see");
    return served;
}

static enum sl_trial_phase phase(void)
{
    sl_trial_report(&trial, &report);
    return report.phase;
}

static int set_up(void **unused)
{
    (void)unused;
    sl_served_settings_init(&settings);
    sl_trial_init(&trial);
    sl_trial_begin(&trial, pcb());
    return 0;
}

static int tear_down(void **unused)
{
    (void)unused;
    sl_trial_end(&trial);
    sl_trial_clear(&trial);
    sl_served_settings_clear(&settings);
    return 0;
}

static void a_camera_that_does_not_run(void **unused)
{
    (void)unused;
    struct sl_accel_status status;
    sl_trial_end(&trial);
    assert_int_equal(sl_trial_shadow(&trial, pcb(), 0.5f, &error), -ENODEV);
    assert_int_equal(sl_trial_swap(&trial, pcb(), &error), -ENODEV);
    assert_int_equal(sl_trial_swap(&trial, NULL, &error), -EPROTO);
    assert_false(sl_trial_accelerator(&trial, &status));
    assert_null(sl_trial_model(&trial));
    sl_trial_roll_back(&trial);
    sl_trial_commit(&trial);
    assert_int_equal(phase(), SL_TRIAL_NONE);
}

static void one_trial_at_a_time(void **unused)
{
    (void)unused;
    struct sl_served *const old = serving(), *const candidate = pcb();
    assert_int_equal(sl_trial_swap(&trial, NULL, &error), -EPROTO); // there is no shadow
    assert_int_equal(sl_trial_shadow(&trial, candidate, 0.5f, &error), 0);
    assert_int_equal(sl_trial_shadow(&trial, pcb(), 0.5f, &error), -EBUSY);
    assert_int_equal(phase(), SL_TRIAL_SHADOW);
    assert_ptr_equal(serving(), old);
    assert_int_equal(sl_trial_swap(&trial, NULL, &error), 0);
    assert_int_equal(phase(), SL_TRIAL_PROBATION);
    assert_ptr_equal(serving(), candidate);
    assert_int_equal(sl_trial_swap(&trial, pcb(), &error), -EBUSY);
    assert_int_equal(sl_trial_swap(&trial, NULL, &error), -EPROTO);
    sl_trial_roll_back(&trial);
    assert_int_equal(phase(), SL_TRIAL_NONE);
    assert_ptr_equal(serving(), old);
}

static void what_is_committed_stays(void **unused)
{
    (void)unused;
    struct sl_served *const candidate = pcb();
    struct sl_accel_status status;
    assert_int_equal(sl_trial_swap(&trial, candidate, &error), 0);
    sl_trial_commit(&trial);
    assert_int_equal(phase(), SL_TRIAL_NONE);
    sl_trial_roll_back(&trial);
    assert_ptr_equal(serving(), candidate);
    assert_true(sl_trial_accelerator(&trial, &status));
    const struct sl_model *model = sl_trial_model(&trial);
    assert_string_equal(model->name, "pcb");
    sl_model_unref(model);
}

static void a_shadow_that_is_rolled_back_leaves_the_old_one(void **unused)
{
    (void)unused;
    struct sl_served *const old = serving();
    assert_int_equal(sl_trial_shadow(&trial, pcb(), 0.5f, &error), 0);
    sl_trial_roll_back(&trial);
    assert_ptr_equal(serving(), old);
    assert_int_equal(sl_trial_shadow(&trial, pcb(), 0.5f, &error), 0); // and ends with the element
}

// The pcb model with another name for its first class.
static gchar *renamed_model(void)
{
    gchar *folder = g_dir_make_tmp("test-trial-XXXXXX", NULL);
    g_autofree gchar *copy =
        g_strdup_printf("cp -r %s/deploy/models/pcb/. %s && sed -i 's/name: open/name: opened/' "
                        "%s/model.yaml",
                        SL_SOURCE_DIR, folder, folder);
    assert_int_equal(system(copy), 0);
    return folder;
}

static void a_model_that_does_not_fit(void **unused)
{
    (void)unused;
    g_autofree gchar *folder = renamed_model();
    struct sl_served *const old = serving();
    assert_int_equal(sl_trial_shadow(&trial, load(folder), 0.5f, &error), -EINVAL);
    assert_non_null(strstr(error.message, "expected 'open', found 'opened'"));
    assert_int_equal(sl_trial_swap(&trial, load(folder), &error), -EINVAL);
    assert_int_equal(phase(), SL_TRIAL_NONE);
    assert_ptr_equal(serving(), old);
    g_autofree gchar *gone = g_strdup_printf("rm -rf %s", folder);
    assert_int_equal(system(gone), 0);
}

static void frame(int status, const char *message)
{
    sl_trial_frame_begin(&trial);
    sl_trial_frame_end(&trial, status, message);
}

static void failures_in_a_row_count_on_probation(void **unused)
{
    (void)unused;
    frame(-EIO, "before");
    assert_int_equal(sl_trial_swap(&trial, pcb(), &error), 0);
    frame(-EIO, "one");
    frame(-EIO, "two");
    frame(-ERANGE, "the part lies badly");
    phase();
    assert_int_equal(report.failures, 0);
    for (guint i = 0; i < SL_TRIAL_FAILURES; i++)
        frame(-EIO, "three");
    frame(-EIO, "last");
    phase();
    assert_int_equal(report.frames, 4 + SL_TRIAL_FAILURES);
    assert_int_equal(report.failures, 1 + SL_TRIAL_FAILURES);
    assert_string_equal(report.message, "last");
    frame(0, "");
    phase();
    assert_int_equal(report.failures, 0);
}

static gint swapped;

static gpointer swap(gpointer candidate)
{
    struct sl_error e = {""};
    const int status = sl_trial_swap(&trial, candidate, &e);
    g_atomic_int_set(&swapped, 1);
    return GINT_TO_POINTER(status);
}

static void a_swap_waits_for_the_end_of_the_frame(void **unused)
{
    (void)unused;
    struct sl_served *const candidate = pcb(), *const old = sl_trial_frame_begin(&trial);
    gboolean asked = FALSE;
    g_atomic_int_set(&swapped, 0);
    GThread *thread = g_thread_new("swap", swap, candidate);
    while (!asked) {
        g_mutex_lock(&trial.lock);
        asked = trial.exchange;
        assert_ptr_equal(trial.serving, old);
        g_mutex_unlock(&trial.lock);
        g_usleep(100);
    }
    assert_int_equal(g_atomic_int_get(&swapped), 0);
    sl_trial_frame_end(&trial, 0, "");
    assert_int_equal(GPOINTER_TO_INT(g_thread_join(thread)), 0);
    phase();
    assert_int_equal(report.frames, 0); // that frame was the old model's
    assert_ptr_equal(serving(), candidate);
}

static void offer(const struct sl_detect_result *result)
{
    const struct sl_picture picture = {
        .pixels = SL_PIXELS_GREY, .width = SIDE, .height = SIDE, .plane = {grey}, .stride = {SIDE}};
    sl_trial_frame_begin(&trial);
    sl_trial_frame_offer(&trial, &picture, NULL, result);
    sl_trial_frame_end(&trial, 0, "");
    g_usleep(1000);
}

// Without a reference nothing is found, which is not the model's fault but a difference where the
// old one found something.
static void the_shadow_sees_what_the_old_model_found(void **unused)
{
    (void)unused;
    g_autofree struct sl_detect_result *result = g_new0(struct sl_detect_result, 1);
    const gint64 end = g_get_monotonic_time() + 60 * G_USEC_PER_SEC;
    result->count = 1;
    result->detections[0] = (struct sl_detection){10, 10, 50, 50, 0.99f, 0};
    offer(result); // nobody looks
    assert_int_equal(phase(), SL_TRIAL_NONE);
    assert_int_equal(sl_trial_shadow(&trial, pcb(), 0.5f, &error), 0);
    while (phase() == SL_TRIAL_SHADOW && report.frames < 3 && g_get_monotonic_time() < end)
        offer(result);
    assert_true(report.frames >= 3);
    assert_int_equal(report.different, report.frames);
    assert_int_equal(report.old_defects, report.frames);
    assert_int_equal(report.new_defects, 0);
    assert_true(report.passed_by >= 1); // at least the first, for which there was no room
    sl_trial_roll_back(&trial);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_camera_that_does_not_run, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_trial_at_a_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_committed_stays, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_shadow_that_is_rolled_back_leaves_the_old_one, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_model_that_does_not_fit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(failures_in_a_row_count_on_probation, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_swap_waits_for_the_end_of_the_frame, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_shadow_sees_what_the_old_model_found, set_up,
                                        tear_down)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
