// Numbers on the command line.
#include "inference/workshop/argument.h"

#include <stdlib.h>

uint32_t argument_number(struct argp_state *state, const char *option, const char *text,
                         unsigned long least, unsigned long most)
{
    char *end;
    const unsigned long value = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || value < least || value > most)
        argp_error(state, "%s: expected %lu to %lu, found '%s'", option, least, most, text);
    return (uint32_t)value;
}
