// `sightline run`: the daemon in the foreground.
#include "pipeline/commands.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

// The daemon stands beside this program in a build tree, and in its own folder once installed.
int sl_command_run(int argc, char **argv)
{
    char self[PATH_MAX], path[PATH_MAX + 32];
    const ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
    (void)argc;
    if (length > 0) {
        self[length] = '\0';
        snprintf(path, sizeof(path), "%s/sightlined", dirname(self));
        if (access(path, X_OK) == 0)
            execv(path, argv);
    }
    execv(SIGHTLINE_SBIN "/sightlined", argv);
    fprintf(stderr, "sightline run: %s/sightlined: %s\n", SIGHTLINE_SBIN, strerror(errno));
    return 1;
}
