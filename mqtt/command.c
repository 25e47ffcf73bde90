// Commands: a payload is checked against the table, handled, and answered.
#include "mqtt/command.h"

#include <errno.h>
#include <glib.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAYLOAD_MAX 65536u
#define ID_MAX      128u
#define SHOWN_MAX   40

static int fail(char *message, size_t size, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int fail(char *message, size_t size, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(message, size, format, args);
    va_end(args);
    return -EINVAL;
}

static const struct sl_command *find_command(const struct sl_command *commands, size_t count,
                                             const char *verb)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(commands[i].verb, verb) == 0) {
            return &commands[i];
        }
    }
    return NULL;
}

static int parse(const void *payload, size_t size, cJSON **out, char *message, size_t message_size)
{
    if (size > PAYLOAD_MAX) {
        return fail(message, message_size, "expected at most %u bytes, found %zu", PAYLOAD_MAX,
                    size);
    }
    if (size == 0 || !g_utf8_validate(payload, (gssize)size, NULL)) {
        return fail(message, message_size, "expected a JSON object in UTF-8, found %s",
                    size ? "other bytes" : "nothing");
    }
    char *text = strndup(payload, size); // the payload holds no NUL: it is valid UTF-8
    if (!text) {
        return fail(message, message_size, "out of memory");
    }
    cJSON *root = cJSON_ParseWithOpts(text, NULL, true);
    free(text);
    if (!cJSON_IsObject(root)) {
        cJSON_Delete(root);
        return fail(message, message_size, "expected a JSON object, found %s",
                    root ? "another value" : "something that is not JSON");
    }
    *out = root;
    return 0;
}

static const char *type_name(int type)
{
    return type == SL_ARGUMENT_STRING   ? "a text"
           : type == SL_ARGUMENT_NUMBER ? "a number"
                                        : "true or false";
}

static int check_value(const struct sl_command_argument *argument, const cJSON *value,
                       char *message, size_t size)
{
    bool right = argument->type == SL_ARGUMENT_STRING   ? cJSON_IsString(value)
                 : argument->type == SL_ARGUMENT_NUMBER ? cJSON_IsNumber(value)
                                                        : cJSON_IsBool(value);
    if (!right) {
        return fail(message, size, "%s: expected %s", argument->name, type_name(argument->type));
    }
    if (argument->type == SL_ARGUMENT_BOOL) {
        return 0;
    }
    bool text = argument->type == SL_ARGUMENT_STRING;
    double found = text ? (double)strlen(value->valuestring) : value->valuedouble;
    if (!(found >= argument->min && found <= argument->max)) {
        return fail(message, size, "%s: expected %s%g to %g%s, found %g", argument->name,
                    text ? "a text of " : "a number from ", argument->min, argument->max,
                    text ? " bytes" : "", found);
    }
    return 0;
}

static const struct sl_command_argument *find_argument(const struct sl_command *command,
                                                       const char *name)
{
    for (const struct sl_command_argument *a = command->arguments; a && a->name; a++) {
        if (strcmp(a->name, name) == 0) {
            return a;
        }
    }
    return NULL;
}

static int check_member(const struct sl_command *command, const cJSON *root, const cJSON *member,
                        char *message, size_t size)
{
    if (cJSON_GetObjectItemCaseSensitive(root, member->string) != member) {
        return fail(message, size, "%.*s: expected once, found twice", SHOWN_MAX, member->string);
    }
    if (strcmp(member->string, "id") == 0) {
        return 0;
    }
    const struct sl_command_argument *argument = find_argument(command, member->string);
    if (!argument) {
        return fail(message, size, "%.*s: '%s' has no such argument", SHOWN_MAX, member->string,
                    command->verb);
    }
    return check_value(argument, member, message, size);
}

static int check_arguments(const struct sl_command *command, const cJSON *root, char *message,
                           size_t size)
{
    const cJSON *member = NULL;
    cJSON_ArrayForEach(member, root)
    {
        int status = check_member(command, root, member, message, size);
        if (status) {
            return status;
        }
    }
    for (const struct sl_command_argument *a = command->arguments; a && a->name; a++) {
        if (a->required && !cJSON_GetObjectItemCaseSensitive(root, a->name)) {
            return fail(message, size, "%s: expected %s, found no such argument", a->name,
                        type_name(a->type));
        }
    }
    return 0;
}

static bool is_id(const cJSON *id)
{
    return cJSON_IsNumber(id) || (cJSON_IsString(id) && strlen(id->valuestring) <= ID_MAX);
}

static int ask_before(const struct sl_command_check *check, const struct sl_command *command,
                      const cJSON *id, char *message, size_t size)
{
    char *text = check ? cJSON_PrintUnformatted(id) : NULL;
    const int status = text ? check->before(check->ctx, command, text, message, size) : 0;
    cJSON_free(text);
    return status;
}

static int run(const struct sl_command *command, void *ctx, const char *camera, cJSON *root,
               const struct sl_command_check *check, cJSON **data, char *message, size_t size)
{
    const cJSON *id = cJSON_GetObjectItemCaseSensitive(root, "id");
    if (!is_id(id)) {
        return fail(message, size, "id: expected a number or a text of at most %u bytes", ID_MAX);
    }
    int status = check_arguments(command, root, message, size);
    if (status) {
        return status;
    }
    status = ask_before(check, command, id, message, size);
    status = status ? status : command->handler(ctx, camera, root, data, message, size);
    if (status < 0 && message[0] == '\0') {
        snprintf(message, size, "%s", strerror(-status));
    }
    return status;
}

static char *print_reply(const cJSON *id, int status, const char *message, cJSON *data)
{
    cJSON *reply = cJSON_CreateObject();
    g_autofree char *valid = g_utf8_make_valid(message, -1);
    cJSON_AddItemToObject(reply, "id", is_id(id) ? cJSON_Duplicate(id, false) : cJSON_CreateNull());
    cJSON_AddStringToObject(reply, "status", status ? "error" : "ok");
    cJSON_AddItemToObject(reply, "error", status ? cJSON_CreateString(valid) : cJSON_CreateNull());
    cJSON_AddItemToObject(reply, "data", data ? data : cJSON_CreateNull());
    char *text = cJSON_PrintUnformatted(reply);
    cJSON_Delete(reply);
    return text;
}

char *sl_command_reply(const char *id, int status, const char *message, cJSON *data)
{
    cJSON *json = cJSON_Parse(id);
    char *text = print_reply(json, status, message, data);
    cJSON_Delete(json);
    return text;
}

char *sl_command_run(const struct sl_command *commands, size_t count, void *ctx, const char *camera,
                     const char *verb, const void *payload, size_t size,
                     const struct sl_command_check *check, int *outcome)
{
    char message[256] = "";
    cJSON *root = NULL, *data = NULL;
    int status = parse(payload, size, &root, message, sizeof(message));
    if (!status) {
        const struct sl_command *command = find_command(commands, count, verb);
        status = command
                     ? run(command, ctx, camera, root, check, &data, message, sizeof(message))
                     : fail(message, sizeof(message), "'%.*s': no such command", SHOWN_MAX, verb);
    }
    *outcome = status;
    char *reply = status == SL_COMMAND_LATER
                      ? NULL
                      : print_reply(cJSON_GetObjectItemCaseSensitive(root, "id"), status, message,
                                    data);
    cJSON_Delete(root);
    return reply;
}
