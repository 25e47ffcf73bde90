// Which processors the threads of the `cpu` back end may use.
#include "accel/cpu/affinity.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>

// A number below CPU_SETSIZE; *text moves behind it.
static bool read_number(const char **text, unsigned long *out)
{
    char *end;
    if (**text < '0' || **text > '9')
        return false;
    *out = strtoul(*text, &end, 10);
    *text = end;
    return *out < CPU_SETSIZE;
}

static bool read_range(const char **text, unsigned long *first, unsigned long *last)
{
    if (!read_number(text, first))
        return false;
    *last = *first;
    if (**text != '-')
        return true;
    ++*text;
    return read_number(text, last) && *last >= *first;
}

int cpu_affinity_parse(const char *text, struct cpu_affinity *out, struct sl_error *error)
{
    cpu_set_t usable;
    struct cpu_affinity affinity = {.limited = true};
    CPU_ZERO(&affinity.processors);
    if (sched_getaffinity(0, sizeof(usable), &usable) != 0)
        return sl_error_set(error, -errno, "option affinity: the processors cannot be listed");
    for (const char *at = text;; at++) {
        unsigned long first, last;
        if (!read_range(&at, &first, &last) || (*at != '\0' && *at != '+'))
            return sl_error_set(error, -EINVAL,
                                "option affinity: expected processors as in 0-3 or 0-1+6, found "
                                "'%s'",
                                text);
        for (; first <= last; first++) {
            if (!CPU_ISSET(first, &usable))
                return sl_error_set(error, -EINVAL,
                                    "option affinity: this process may not use processor %lu",
                                    first);
            CPU_SET(first, &affinity.processors);
        }
        if (*at == '\0')
            break;
    }
    *out = affinity;
    return 0;
}
