// What the programs that run sub-commands share.
#include "inference/commands.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int sl_command_end(const char *program, int status)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    fprintf(stderr, "%s: standard output: %s\n", program, strerror(errno));
    return status ? status : 1;
}
