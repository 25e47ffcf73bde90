// `sightline slot`: what is asked of the running update agent, and its audit log.
#include "ota/cmd_slot.h"

#include "ota/audit.h"
#include "ota/control.h"

#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define AGENT_SOCKET "/run/sightline-otad/agent.sock"
#define AUDIT_FILE   "/var/lib/sightline-ota/audit"

struct options {
    const char *socket, *file;
    bool json;
};

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct options *o = state->input;
    switch (key) {
    case 's':
        o->socket = text;
        return 0;
    case 'j':
        o->json = true;
        return 0;
    case ARGP_KEY_ARG:
        if (o->file)
            argp_error(state, "unexpected argument '%s'", text);
        o->file = text;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static int fail(const char *what, const char *why)
{
    fprintf(stderr, "sightline slot: %s: %s\n", what, why);
    return 1;
}

// The agent's answer is one JSON object that it made.
static int ask(const struct options *o, const char *what)
{
    static struct sl_control_message message;
    int fd = -1;
    const int socket = sl_control_connect(o->socket);
    if (socket < 0)
        return fail(o->socket, socket == -EACCES ? "not permitted: root and the members of group "
                                                   "sightline-control may ask"
                                                 : strerror(-socket));
    message.version = SL_CONTROL_VERSION;
    message.verb = SL_CONTROL_ASK;
    snprintf(message.text, sizeof(message.text), "%s", what);
    int status = sl_control_send(socket, &message, -1);
    if (status == 0)
        status = sl_control_receive(socket, &message, &fd, 0);
    if (fd >= 0)
        close(fd);
    close(socket);
    if (status < 0)
        return fail(o->socket, "the update agent gives no answer");
    if (message.verb == SL_CONTROL_FAILED)
        return fail(what, message.text);
    puts(message.text);
    return 0;
}

int slot_agent_command(const char *what, int argc, char **argv)
{
    static const struct argp_option rows[] = {
        {"agent", 's', "SOCKET", 0, "The agent's socket (" AGENT_SOCKET ")", 0}, {0}};
    const bool back = !strcmp(what, "rollback");
    const struct argp argp = {
        rows, parse, NULL,
        back ? "Ends the update that is under way, or goes back to the bundle in the other slot if "
               "none is. What is left is not tried again by itself. Prints the agent's state."
        : !strcmp(what, "update")
            ? "Lets the bundle that is armed be tried, and what was taken back be offered again. "
              "Prints the agent's state."
            : "Prints the state of the running agent as JSON.",
        NULL, NULL, NULL};
    struct options o = {.socket = AGENT_SOCKET};
    argp_parse(&argp, argc, argv, 0, NULL, &o);
    if (o.file) {
        fprintf(stderr, "sightline slot %s: unexpected argument '%s'\n", what, o.file);
        return 2;
    }
    return ask(&o, what);
}

static void print_text(const char *text)
{
    for (; *text; text++)
        if (*text == '"' || *text == '\\')
            printf("\\%c", *text);
        else
            putchar((unsigned char)*text < 32 ? ' ' : *text);
}

static void print_entry(void *ctx, const struct sl_audit_entry *e)
{
    const struct options *o = ctx;
    char when[32] = "";
    struct tm utc;
    const time_t t = (time_t)e->utc_s;
    if (gmtime_r(&t, &utc))
        strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &utc);
    if (!o->json) {
        printf("%6" PRIu64 "  %s  +%" PRId64 " s  %s\n", e->sequence, when, e->uptime_s, e->text);
        return;
    }
    printf("{\"sequence\": %" PRIu64 ", \"utc\": \"%s\", \"uptime_s\": %" PRId64 ", \"text\": \"",
           e->sequence, when, e->uptime_s);
    print_text(e->text);
    printf("\"}\n");
}

int slot_audit_command(int argc, char **argv)
{
    static const char doc[] =
        "Prints the update agent's log and checks that its records follow each other unchanged. "
        "FILE: " AUDIT_FILE " if not given. Times are those of the camera's clock, which may be "
        "wrong; the order is not. Exit status 1 if the chain is broken.";
    static const struct argp_option rows[] = {{"json", 'j', NULL, 0, "One object a line", 0}, {0}};
    static const struct argp argp = {rows, parse, "[FILE]", doc, NULL, NULL, NULL};
    struct options o = {0};
    struct sl_audit audit;
    struct sl_audit_check check;
    argp_parse(&argp, argc, argv, 0, NULL, &o);
    const char *path = o.file ? o.file : AUDIT_FILE;
    int status = sl_audit_open(&audit, path, false);
    if (status < 0)
        return fail(path, strerror(-status));
    status = sl_audit_read(&audit, print_entry, &o, &check);
    sl_audit_close(&audit);
    if (status < 0)
        return fail(path, strerror(-status));
    if (!o.json)
        printf("records %" PRIu64 " to %" PRIu64 ": %s\n", check.first, check.last,
               check.broken ? "BROKEN" : "the chain holds");
    if (check.broken == 0)
        return 0;
    fprintf(stderr, "sightline slot: %s: %" PRIu64 " records do not follow the one before\n", path,
            check.broken);
    return 1;
}
