// The section `accelerator`: an ordered list of back ends, written as the ladder's configuration.
#include "config/camera_accelerator.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define OPTIONAL CYAML_FLAG_OPTIONAL

static const cyaml_schema_field_t step_fields[] = {
    CYAML_FIELD_STRING_PTR("backend", CYAML_FLAG_POINTER, struct sl_config_step, backend, 1, 200),
    CYAML_FIELD_UINT("deadline_ms", OPTIONAL, struct sl_config_step, deadline_ms),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t step_value = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct sl_config_step, step_fields)};

const cyaml_schema_field_t accelerator_fields[] = {
    CYAML_FIELD_SEQUENCE("steps", CYAML_FLAG_POINTER, struct sl_config_accelerator, steps,
                         &step_value, 1, 8),
    CYAML_FIELD_UINT("strikes", OPTIONAL, struct sl_config_accelerator, strikes),
    CYAML_FIELD_UINT("retry_ms", OPTIONAL, struct sl_config_accelerator, retry_ms),
    CYAML_FIELD_UINT("cross_check", OPTIONAL, struct sl_config_accelerator, cross_check),
    CYAML_FIELD_UINT("tolerance_permille", OPTIONAL, struct sl_config_accelerator,
                     tolerance_permille),
    CYAML_FIELD_END,
};

struct text {
    char *bytes;
    size_t size, used; // used may be beyond size: what it would take
};

__attribute__((format(printf, 2, 3))) static void add(struct text *text, const char *format, ...)
{
    const size_t at = text->used < text->size ? text->used : text->size;
    va_list args;
    va_start(args, format);
    const int length = vsnprintf(text->bytes + at, text->size - at, format, args);
    va_end(args);
    text->used += length > 0 ? (size_t)length : 0;
}

static void add_option(struct text *text, const char *key, uint32_t value)
{
    if (value)
        add(text, ",ladder.%s=%u", key, value);
}

int accelerator_compose(const struct sl_config_accelerator *section, char *bytes, size_t size,
                        char *problem, size_t problem_size)
{
    struct text text = {bytes, size, 0};
    if (section->steps_count == 1) { // nothing to fall back on
        add(&text, "%s", section->steps[0].backend);
    } else {
        for (uint32_t i = 0; i < section->steps_count; i++) {
            const struct sl_config_step *step = &section->steps[i];
            if (strchr(step->backend, '|') || strncmp(step->backend, "ladder", 6) == 0) {
                snprintf(problem, problem_size, "steps[%u].backend: a ladder cannot be a step", i);
                return -EINVAL;
            }
            add(&text, "%s%s", i ? "|" : "ladder:", step->backend);
            add_option(&text, "deadline_ms", step->deadline_ms);
        }
        add_option(&text, "strikes", section->strikes);
        add_option(&text, "retry_ms", section->retry_ms);
        add_option(&text, "cross_check", section->cross_check);
        add_option(&text, "tolerance_permille", section->tolerance_permille);
    }
    if (text.used <= ACCELERATOR_MAX && text.used < size)
        return 0;
    snprintf(problem, problem_size, "expected at most %d characters for all steps, found %zu",
             ACCELERATOR_MAX, text.used);
    return -E2BIG;
}
