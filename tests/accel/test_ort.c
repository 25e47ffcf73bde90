// ONNX Runtime's wrapper: what it refuses, and the real library where there is one.
#include "accel/onnxruntime/share.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FAKE   SL_BUILD_DIR "/tests/accel/libfake_ort.so"
#define NO_ORT SL_BUILD_DIR "/tests/accel/libno_ort.so"
#define MODEL  SL_SOURCE_DIR "/deploy/models/pcb/model.onnx"

static void refuses(const char *path, int status, const char *words)
{
    struct sl_error error = {""};
    struct ort *ort = NULL;
    assert_int_equal(ort_open(path, &ort, &error), status);
    assert_null(ort);
    if (!strstr(error.message, words))
        fail_msg("expected '%s' in: %s", words, error.message);
}

static void refuses_a_path_without_a_file(void **state)
{
    (void)state;
    refuses("/nonexistent/libonnxruntime.so.1", -ENOENT, "/nonexistent/libonnxruntime.so.1");
    refuses("/nonexistent/libonnxruntime.so.1", -ENOENT, "fetch-onnxruntime.sh");
}

static void refuses_what_is_no_library(void **state)
{
    (void)state;
    refuses(SL_SOURCE_DIR "/CMakeLists.txt", -EINVAL, "CMakeLists.txt");
    refuses(SL_SOURCE_DIR, -EINVAL, "not a library");
}

static void refuses_another_library(void **state)
{
    (void)state;
    refuses(NO_ORT, -EINVAL, "not ONNX Runtime");
}

static void refuses_versions_that_it_does_not_know(void **state)
{
    static const char *const versions[] = {"", "1", "1.x", "0.9.0", "1.11.1", "2.0.0", "-1.30.0"};
    (void)state;
    for (size_t i = 0; i < sizeof(versions) / sizeof(*versions); i++) {
        setenv("FAKE_ORT_VERSION", versions[i], 1);
        refuses(FAKE, -EINVAL, "expected " ORT_OLDEST);
    }
    setenv("FAKE_ORT_VERSION", "1.30.0", 1);
    refuses(FAKE, -EINVAL, "no API of version 12");
    unsetenv("FAKE_ORT_VERSION");
    refuses(FAKE, -EINVAL, "not ONNX Runtime");
}

static void looks_where_the_environment_says(void **state)
{
    const char *before = getenv("SIGHTLINE_ONNXRUNTIME");
    char *kept = before ? strdup(before) : NULL;
    (void)state;
    setenv("SIGHTLINE_ONNXRUNTIME", "/nonexistent/by_environment.so", 1);
    refuses(NULL, -ENOENT, "/nonexistent/by_environment.so");
    refuses("/nonexistent/by_argument.so", -ENOENT, "/nonexistent/by_argument.so");
    if (kept)
        setenv("SIGHTLINE_ONNXRUNTIME", kept, 1);
    else
        unsetenv("SIGHTLINE_ONNXRUNTIME");
    free(kept);
}

// The rest needs the real library.

struct real {
    struct ort *ort;
    void *bytes;
    size_t size;
};

static void read_model(struct real *real)
{
    FILE *file = fopen(MODEL, "rb");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    real->size = (size_t)ftell(file);
    rewind(file);
    real->bytes = malloc(real->size);
    assert_non_null(real->bytes);
    assert_int_equal(fread(real->bytes, 1, real->size, file), real->size);
    fclose(file);
}

static int open_real(void **state)
{
    static struct real real;
    struct sl_error error = {""};
    memset(&real, 0, sizeof(real));
    const int status = ort_open(NULL, &real.ort, &error);
    if (status == -ENOENT) {
        printf("skipped: %s\n", error.message);
        *state = NULL;
        return 0;
    }
    if (status < 0)
        fprintf(stderr, "%s\n", error.message);
    else
        read_model(&real);
    *state = &real;
    return status;
}

static int close_real(void **state)
{
    struct real *real = *state;
    if (real) {
        ort_close(real->ort);
        free(real->bytes);
    }
    return 0;
}

static struct real *need(void **state)
{
    if (!*state)
        skip();
    return *state;
}

static struct ort_session *create(const struct real *real, const struct ort_options *options)
{
    struct sl_error error = {""};
    struct ort_session *session = NULL;
    if (ort_session_create(real->ort, real->bytes, real->size, options, &session, &error) != 0)
        fail_msg("%s", error.message);
    return session;
}

static void real_library_says_what_it_is(void **state)
{
    const struct real *real = need(state);
    bool cpu = false;
    assert_int_equal(strncmp(ort_version(real->ort), "1.", 2), 0);
    for (uint32_t i = 0; i < ort_provider_count(real->ort); i++)
        cpu = cpu || strcmp(ort_provider(real->ort, i), "CPUExecutionProvider") == 0;
    assert_true(cpu);
    assert_null(ort_provider(real->ort, ort_provider_count(real->ort)));
}

static void refuse_session(const struct real *real, const void *bytes, size_t size,
                           const struct ort_options *options, const char *words)
{
    struct sl_error error = {""};
    struct ort_session *session = NULL;
    assert_int_equal(ort_session_create(real->ort, bytes, size, options, &session, &error),
                     -EINVAL);
    assert_null(session);
    if (!strstr(error.message, words))
        fail_msg("expected '%s' in: %s", words, error.message);
}

static void refuses_models_and_options(void **state)
{
    const struct real *real = need(state);
    const struct ort_entry no_key = {"", "1"};
    refuse_session(real, NULL, 0, NULL, "no bytes");
    refuse_session(real, "not a model", 11, NULL, "ONNX Runtime");
    refuse_session(real, real->bytes, real->size / 2, NULL, "ONNX Runtime");
    refuse_session(real, real->bytes, real->size, &(struct ort_options){.provider = "NoSuchThing"},
                   "NoSuchThing");
    refuse_session(real, real->bytes, real->size,
                   &(struct ort_options){.config = &no_key, .n_config = 1}, "ONNX Runtime");
    refuse_session(real, real->bytes, real->size, &(struct ort_options){.threads = UINT32_MAX},
                   "too many");
}

static void describes_inputs_and_outputs(void **state)
{
    const struct real *real = need(state);
    struct ort_session *session = create(real, NULL);
    static const int64_t dims[] = {1, 2, 640, 640};
    assert_int_equal(ort_session_count(session, ORT_INPUT), 1);
    assert_int_equal(ort_session_count(session, ORT_OUTPUT), 2);
    const struct ort_tensor *image = ort_session_tensor(session, ORT_INPUT, 0);
    assert_string_equal(image->name, "image");
    assert_int_equal(image->dtype, SL_F32);
    assert_int_equal(image->rank, 4);
    assert_memory_equal(image->dims, dims, sizeof(dims));
    assert_string_equal(ort_session_tensor(session, ORT_OUTPUT, 1)->name, "box_ltrb");
    assert_null(ort_session_tensor(session, ORT_INPUT, 1));
    assert_null(ort_session_tensor(session, ORT_OUTPUT, 2));
    ort_session_free(session);
}

static void refuse_bind(struct ort_session *session, uint32_t index, struct sl_tensor shape,
                        size_t bytes, const char *words)
{
    static float room[16];
    struct sl_error error = {""};
    assert_int_equal(ort_session_bind(session, ORT_INPUT, index, &shape, room, bytes, &error),
                     -EINVAL);
    if (!strstr(error.message, words))
        fail_msg("expected '%s' in: %s", words, error.message);
}

static void refuses_memory_that_does_not_fit(void **state)
{
    const struct real *real = need(state);
    struct ort_session *session = create(real, NULL);
    const struct sl_tensor right = {.dtype = SL_F32, .rank = 4, .dims = {1, 2, 640, 640}};
    const size_t bytes = 2 * 640 * 640 * sizeof(float);
    struct sl_tensor wrong = right;
    refuse_bind(session, 1, right, bytes, "input 1 of 1");
    refuse_bind(session, 0, right, bytes - 1, "bytes");
    refuse_bind(session, 0, right, bytes * 2, "bytes");
    refuse_bind(session, 0, right, 0, "bytes");
    wrong.dtype = SL_U8;
    refuse_bind(session, 0, wrong, bytes / 4, "type");
    wrong = right;
    wrong.rank = 3;
    refuse_bind(session, 0, wrong, bytes, "dimensions");
    wrong = right;
    wrong.dims[1] = 3;
    refuse_bind(session, 0, wrong, bytes / 2 * 3, "dimension 1");
    wrong.dims[1] = 0;
    refuse_bind(session, 0, wrong, 0, "dimension 1");
    wrong.dims[1] = -2;
    refuse_bind(session, 0, wrong, bytes, "dimension 1");
    ort_session_free(session);
}

static void bind_all(struct ort_session *session, enum ort_direction direction, float **memory)
{
    for (uint32_t i = 0; i < ort_session_count(session, direction); i++) {
        struct sl_error error = {""};
        const struct ort_tensor *t = ort_session_tensor(session, direction, i);
        struct sl_tensor shape = {.dtype = t->dtype, .rank = t->rank};
        size_t bytes = sizeof(float);
        for (uint32_t d = 0; d < t->rank; d++)
            bytes *= (size_t)(shape.dims[d] = t->dims[d]);
        memory[i] = malloc(bytes);
        assert_non_null(memory[i]);
        memset(memory[i], direction == ORT_INPUT ? 0 : 0xFF, bytes);
        if (ort_session_bind(session, direction, i, &shape, memory[i], bytes, &error) != 0)
            fail_msg("%s", error.message);
    }
}

static void runs_into_the_memory_given(void **state)
{
    const struct real *real = need(state);
    const struct ort_entry config = {"session.x64quantprecision", "1"};
    struct ort_session *session =
        create(real, &(struct ort_options){.threads = 2, .config = &config, .n_config = 1});
    struct sl_error error = {""};
    float *in[1], *out[2];
    assert_int_equal(ort_session_run(session, &error), -EINVAL);
    assert_non_null(strstr(error.message, "'image' is not bound"));
    bind_all(session, ORT_INPUT, in);
    assert_int_equal(ort_session_run(session, &error), -EINVAL);
    bind_all(session, ORT_OUTPUT, out);
    for (int i = 0; i < 2; i++) // twice: memory stays bound
        if (ort_session_run(session, &error) != 0)
            fail_msg("%s", error.message);
    for (int i = 0; i < 6 * 80 * 80; i++)
        assert_true(isfinite(out[0][i])); // was NaN
    ort_session_free(session);
    free(in[0]);
    free(out[0]);
    free(out[1]);
}

static void counts_in_a_profile(void **state)
{
    (void)state;
    static const char text[] =
        "[\n{\"cat\" : \"Session\",\"name\" :\"model_run\",\"args\" : {}},\n"
        "{\"cat\" : \"Node\",\"name\" :\"a_kernel_time\",\"args\" : {\"provider\" : "
        "\"QNNExecutionProvider\",\"op_name\" : \"Conv\"}},\n"
        "{\"cat\" : \"Node\",\"name\" :\"b_fence_after\",\"args\" : {}},\n"
        "{\"cat\" : \"Node\",\"name\" :\"b_kernel_time\",\"args\" : {\"provider\":"
        "\"CPUExecutionProvider\"}},\n"
        "{\"cat\" : \"Node\",\"name\" :\"c_kernel_time\",\"args\" : {}},\n";
    struct ort_share share = ort_share_count(text, "QNN");
    assert_int_equal(share.taken, 1);
    assert_int_equal(share.all, 2);
    assert_int_equal(ort_share_count("", "QNN").all, 0);
    assert_int_equal(ort_share_count("x_kernel_time\"", "QNN").all, 0);
}

static void counts_the_nodes_of_a_provider(void **state)
{
    const struct real *real = need(state);
    const struct ort_options options = {.threads = 1};
    struct ort_share share;
    struct sl_error error = {""};
    if (ort_share_measure(real->ort, real->bytes, real->size, &options, &share, &error) != 0)
        fail_msg("%s", error.message);
    assert_true(share.all > 5);
    assert_int_equal(share.taken, share.all);
    setenv("TMPDIR", "/nonexistent", 1);
    assert_int_equal(
        ort_share_measure(real->ort, real->bytes, real->size, &options, &share, &error), -ENOENT);
    unsetenv("TMPDIR");
}

int main(void)
{
    const struct CMUnitTest refusals[] = {
        cmocka_unit_test(refuses_a_path_without_a_file),
        cmocka_unit_test(refuses_what_is_no_library),
        cmocka_unit_test(refuses_another_library),
        cmocka_unit_test(refuses_versions_that_it_does_not_know),
        cmocka_unit_test(looks_where_the_environment_says),
        cmocka_unit_test(counts_in_a_profile),
    };
    const struct CMUnitTest real[] = {
        cmocka_unit_test(real_library_says_what_it_is),
        cmocka_unit_test(refuses_models_and_options),
        cmocka_unit_test(describes_inputs_and_outputs),
        cmocka_unit_test(refuses_memory_that_does_not_fit),
        cmocka_unit_test(runs_into_the_memory_given),
        cmocka_unit_test(counts_the_nodes_of_a_provider),
    };
    const int failed = cmocka_run_group_tests(refusals, NULL, NULL);
    return failed + cmocka_run_group_tests(real, open_real, close_real);
}
