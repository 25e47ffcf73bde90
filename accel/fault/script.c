// The script language of the fault back end.
#include "accel/fault/script.h"

#include "accel/inner.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#define COUNT(a)   (sizeof(a) / sizeof(*(a)))
#define MAX_MS     600000
#define MAX_RESETS 1000

static const char *const calls[] = {"open", "compile", "bind", "submit", "wait", "health", "reset"};
static const char *const actions[] = {"",     "fail",  "lost",  "delay",
                                      "hang", "stuck", "wrong", "crash"};

static const uint32_t only_wait = 1u << FAULT_DELAY | 1u << FAULT_HANG | 1u << FAULT_WRONG;

static size_t find(const char *const *names, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (*names[i] && strcmp(names[i], name) == 0)
            return i;
    return count;
}

static int parse_when(struct fault_rule *rule, char *text, struct sl_error *error)
{
    rule->first = rule->every = 1;
    rule->last = UINT64_MAX;
    if (strcmp(text, "*") == 0)
        return 0;
    char *mark = strpbrk(text, "-/");
    char kind = mark ? *mark : '\0';
    if (mark)
        *mark = '\0';
    int status = sl_option_number("script", text, 1, UINT32_MAX, &rule->first, error);
    if (status)
        return status;
    if (kind == '/')
        return sl_option_number("script", mark + 1, 1, UINT32_MAX, &rule->every, error);
    rule->last = rule->first;
    return kind ? sl_option_number("script", mark + 1, rule->first, UINT32_MAX, &rule->last, error)
                : 0;
}

static int parse_action(struct fault_rule *rule, char *text, struct sl_error *error)
{
    char *number = strchr(text, ':');
    if (number)
        *number++ = '\0';
    size_t action = find(actions, COUNT(actions), text);
    if (action == COUNT(actions))
        return sl_error_set(error, -EINVAL,
                            "action '%s': expected fail, lost, delay, hang, stuck, wrong or crash",
                            text);
    rule->action = (enum fault_action)action;
    bool timed = rule->action == FAULT_DELAY || rule->action == FAULT_STUCK;
    if ((only_wait >> action & 1) && rule->call != FAULT_WAIT)
        return sl_error_set(error, -EINVAL, "action '%s' is for wait alone", text);
    if (timed && !number)
        return sl_error_set(error, -EINVAL, "action '%s': expected a time, '%s:MS'", text, text);
    if (number && !timed && rule->action != FAULT_LOST)
        return sl_error_set(error, -EINVAL, "action '%s' takes no number", text);
    uint64_t value = 1;
    int status =
        number ? sl_option_number(text, number, 1, timed ? MAX_MS : MAX_RESETS, &value, error) : 0;
    rule->number = (uint32_t)value;
    return status;
}

static int parse_rule(struct fault_script *script, char *text, struct sl_error *error)
{
    struct fault_rule rule = {0};
    char *when = strchr(text, '@');
    char *action = when ? strchr(when, ':') : NULL;
    if (!action)
        return sl_error_set(error, -EINVAL, "rule '%s': expected CALL@WHEN:ACTION", text);
    if (script->n_rules == FAULT_MAX_RULES)
        return sl_error_set(error, -EINVAL, "more than %d rules", FAULT_MAX_RULES);
    *when++ = *action++ = '\0';
    size_t call = find(calls, COUNT(calls), text);
    if (call == COUNT(calls))
        return sl_error_set(
            error, -EINVAL,
            "call '%s': expected open, compile, bind, submit, wait, health or reset", text);
    rule.call = (enum fault_call)call;
    int status = parse_when(&rule, when, error);
    status = status ? status : parse_action(&rule, action, error);
    if (status == 0)
        script->rules[script->n_rules++] = rule;
    return status;
}

int fault_script_parse(struct fault_script *script, const char *text, struct sl_error *error)
{
    char copy[SL_CONFIG_MAX];
    if (strlen(text) >= sizeof(copy))
        return sl_error_set(error, -EINVAL, "script: too long");
    strcpy(copy, text);
    char *rest = copy, *rule;
    int status = 0;
    while (status == 0 && (rule = strsep(&rest, "+")))
        status = parse_rule(script, rule, error);
    return status ? sl_error_prefix(error, status, "option script") : 0;
}

int fault_kinds_parse(struct fault_script *script, const char *text, struct sl_error *error)
{
    char copy[SL_CONFIG_MAX];
    if (strlen(text) >= sizeof(copy))
        return sl_error_set(error, -EINVAL, "option kinds: too long");
    strcpy(copy, text);
    char *rest = copy, *name;
    script->kinds = 0;
    while ((name = strsep(&rest, "+"))) {
        size_t action = find(actions, COUNT(actions), name);
        if (action == COUNT(actions))
            return sl_error_set(error, -EINVAL, "option kinds: '%s' is no action", name);
        script->kinds |= 1u << action;
    }
    return 0;
}

// xorshift64*; Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled".
static uint32_t draw(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (uint32_t)((*state * 0x2545F4914F6CDD1Du) >> 32);
}

static struct fault_rule by_chance(struct fault_script *script)
{
    struct fault_rule rule = {.number = 1};
    if (draw(&script->seed) % script->random != 0)
        return rule;
    do
        rule.action = (enum fault_action)(draw(&script->seed) % FAULT_ACTIONS);
    while (!(script->kinds >> rule.action & 1));
    if (rule.action == FAULT_DELAY || rule.action == FAULT_STUCK)
        rule.number = script->ms;
    return rule;
}

struct fault_rule fault_script_next(struct fault_script *script, enum fault_call call)
{
    uint64_t count = ++script->counts[call];
    for (uint32_t i = 0; i < script->n_rules; i++) {
        const struct fault_rule *rule = &script->rules[i];
        if (rule->call == call && count >= rule->first && count <= rule->last &&
            (count - rule->first) % rule->every == 0)
            return *rule;
    }
    return call == FAULT_WAIT && script->random ? by_chance(script) : (struct fault_rule){0};
}
