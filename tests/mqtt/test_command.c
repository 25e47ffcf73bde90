// Commands: arguments reach the handler, and everything else is answered with what was wrong.
#include "mqtt/command.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static unsigned calls;

static int trigger(void *ctx, const char *camera, const cJSON *arguments, cJSON **data,
                   char *message, size_t message_size)
{
    (void)message;
    (void)message_size;
    assert_ptr_equal(ctx, &calls);
    calls++;
    *data = cJSON_CreateObject();
    cJSON_AddStringToObject(*data, "camera", camera);
    cJSON_AddStringToObject(*data, "part_id",
                            cJSON_GetStringValue(cJSON_GetObjectItem(arguments, "part_id")));
    return 0;
}

static int refuse(void *ctx, const char *camera, const cJSON *arguments, cJSON **data,
                  char *message, size_t message_size)
{
    (void)ctx;
    (void)camera;
    (void)data;
    if (cJSON_GetObjectItem(arguments, "loud")) {
        snprintf(message, message_size, "busy: \xff");
    }
    return -EBUSY;
}

static const struct sl_command_argument trigger_arguments[] = {
    {"part_id", SL_ARGUMENT_STRING, true, 1, 8},
    {"frames", SL_ARGUMENT_NUMBER, false, 1, 4},
    {"store", SL_ARGUMENT_BOOL, false, 0, 0},
    {.name = NULL},
};
static const struct sl_command_argument refuse_arguments[] = {
    {"loud", SL_ARGUMENT_BOOL, false, 0, 0},
    {.name = NULL},
};
static const struct sl_command commands[] = {
    {"trigger", "asks for a part", trigger_arguments, trigger, true},
    {"refuse", "never works", refuse_arguments, refuse, false},
    {"bare", "takes no arguments", NULL, refuse, false},
};

static char *run(const char *verb, const void *payload, size_t size)
{
    int outcome = 0;
    char *reply =
        sl_command_run(commands, 3, &calls, "cam1", verb, payload, size, NULL, &outcome);
    assert_non_null(reply);
    return reply;
}

static void expect(const char *verb, const char *payload, const char *expected)
{
    char *reply = run(verb, payload, strlen(payload));
    assert_string_equal(reply, expected);
    free(reply);
}

static void answers_with_data(void **state)
{
    (void)state;
    calls = 0;
    expect("trigger", "{\"id\":\"a\",\"part_id\":\"p1\",\"frames\":2,\"store\":true}",
           "{\"id\":\"a\",\"status\":\"ok\",\"error\":null,"
           "\"data\":{\"camera\":\"cam1\",\"part_id\":\"p1\"}}");
    expect("trigger", "{\"part_id\":\"12345678\",\"id\":7}",
           "{\"id\":7,\"status\":\"ok\",\"error\":null,"
           "\"data\":{\"camera\":\"cam1\",\"part_id\":\"12345678\"}}");
    assert_int_equal(calls, 2);
}

static void passes_on_what_the_handler_says(void **state)
{
    (void)state;
    expect("refuse", "{\"id\":1}",
           "{\"id\":1,\"status\":\"error\",\"error\":\"Device or resource busy\",\"data\":null}");
    expect("refuse", "{\"id\":1,\"loud\":true}",
           "{\"id\":1,\"status\":\"error\",\"error\":\"busy: \xef\xbf\xbd\",\"data\":null}");
}

static const struct {
    const char *verb, *payload, *error;
} refusals[] = {
    {"tigger", "{\"id\":1}", "'tigger': no such command"},
    {"", "{\"id\":1}", "'': no such command"},
    {"trigger", "", "expected a JSON object in UTF-8, found nothing"},
    {"trigger", "\xff", "expected a JSON object in UTF-8, found other bytes"},
    {"trigger", "{", "expected a JSON object, found something that is not JSON"},
    {"trigger", "{} x", "expected a JSON object, found something that is not JSON"},
    {"trigger", "[1]", "expected a JSON object, found another value"},
    {"trigger", "null", "expected a JSON object, found another value"},
    {"trigger", "{\"part_id\":\"p\"}", "id: expected a number or a text"},
    {"trigger", "{\"id\":null,\"part_id\":\"p\"}", "id: expected a number or a text"},
    {"trigger", "{\"id\":[1],\"part_id\":\"p\"}", "id: expected a number or a text"},
    {"trigger", "{\"id\":1}", "part_id: expected a text, found no such argument"},
    {"trigger", "{\"id\":1,\"part_id\":5}", "part_id: expected a text"},
    {"trigger", "{\"id\":1,\"part_id\":\"\"}", "part_id: expected a text of 1 to 8 bytes, found 0"},
    {"trigger", "{\"id\":1,\"part_id\":\"123456789\"}", "part_id: expected a text of 1 to 8 bytes"},
    {"trigger", "{\"id\":1,\"part_id\":\"p\",\"frames\":5}",
     "frames: expected a number from 1 to 4, found 5"},
    {"trigger", "{\"id\":1,\"part_id\":\"p\",\"frames\":\"2\"}", "frames: expected a number"},
    {"trigger", "{\"id\":1,\"part_id\":\"p\",\"store\":1}", "store: expected true or false"},
    {"trigger", "{\"id\":1,\"part_id\":\"p\",\"Store\":true}",
     "Store: 'trigger' has no such argument"},
    {"trigger", "{\"id\":1,\"part_id\":\"p\",\"part_id\":\"q\"}",
     "part_id: expected once, found twice"},
    {"trigger", "{\"id\":1,\"id\":2,\"part_id\":\"p\"}", "id: expected once, found twice"},
    {"bare", "{\"id\":1,\"x\":1}", "x: 'bare' has no such argument"},
};

static void refuses_by_name(void **state)
{
    (void)state;
    calls = 0;
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        char *reply = run(refusals[i].verb, refusals[i].payload, strlen(refusals[i].payload));
        cJSON *root = cJSON_Parse(reply);
        const char *error = cJSON_GetStringValue(cJSON_GetObjectItem(root, "error"));
        if (!error || strncmp(error, refusals[i].error, strlen(refusals[i].error)) != 0) {
            fail_msg("case %zu: expected %s, found %s", i, refusals[i].error, reply);
        }
        assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(root, "status")), "error");
        cJSON_Delete(root);
        free(reply);
    }
    assert_int_equal(calls, 0);
}

static void refuses_large_and_deep_payloads(void **state)
{
    (void)state;
    static char payload[65537];
    memset(payload, '[', sizeof(payload));
    char *reply = run("trigger", payload, sizeof(payload));
    assert_non_null(strstr(reply, "expected at most 65536 bytes, found 65537"));
    free(reply);
    reply = run("trigger", payload, sizeof(payload) - 1);
    assert_non_null(strstr(reply, "not JSON"));
    free(reply);
    reply = run("trigger", "{\"id\":1}\0", 9);
    assert_non_null(strstr(reply, "found other bytes"));
    free(reply);
    reply = run("trigger", NULL, 0);
    assert_non_null(strstr(reply, "found nothing"));
    free(reply);
}

static void does_not_echo_an_id_without_end(void **state)
{
    (void)state;
    char payload[400];
    memset(payload, 'x', sizeof(payload));
    memcpy(payload, "{\"id\":\"", 7);
    memcpy(payload + sizeof(payload) - 2, "\"}", 2);
    char *reply = run("bare", payload, sizeof(payload));
    assert_non_null(strstr(reply, "{\"id\":null,\"status\":\"error\""));
    free(reply);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_with_data),
        cmocka_unit_test(passes_on_what_the_handler_says),
        cmocka_unit_test(refuses_by_name),
        cmocka_unit_test(refuses_large_and_deep_payloads),
        cmocka_unit_test(does_not_echo_an_id_without_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
