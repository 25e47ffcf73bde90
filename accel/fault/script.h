// Inside of accel/fault: what fails when.
#ifndef SL_ACCEL_FAULT_SCRIPT_H
#define SL_ACCEL_FAULT_SCRIPT_H

#include "accel/error.h"

#include <stdbool.h>
#include <stdint.h>

enum fault_call {
    FAULT_OPEN,
    FAULT_COMPILE,
    FAULT_BIND,
    FAULT_SUBMIT,
    FAULT_WAIT,
    FAULT_HEALTH,
    FAULT_RESET,
    FAULT_CALLS
};

enum fault_action {
    FAULT_NONE,
    FAULT_FAIL,
    FAULT_LOST,
    FAULT_DELAY,
    FAULT_HANG,
    FAULT_STUCK,
    FAULT_WRONG,
    FAULT_CRASH,
    FAULT_ACTIONS
};

struct fault_rule {
    enum fault_call call;
    uint64_t first, last, every;
    enum fault_action action;
    uint32_t number; // milliseconds, or resets for lost
};

#define FAULT_MAX_RULES 32
struct fault_script {
    uint32_t n_rules;
    struct fault_rule rules[FAULT_MAX_RULES];
    uint32_t random; // one wait in so many; 0: none
    uint32_t kinds;  // bit per action
    uint32_t ms;
    bool vary;
    uint64_t seed;
    uint64_t counts[FAULT_CALLS];
};

// -EINVAL: the message names the rule and what was expected.
int fault_script_parse(struct fault_script *script, const char *text, struct sl_error *error);
int fault_kinds_parse(struct fault_script *script, const char *text, struct sl_error *error);

// Counts the call and says what befalls it.
struct fault_rule fault_script_next(struct fault_script *script, enum fault_call call);

#endif
