// Setting V4L2 controls.
#include "pipeline/v4l2_controls.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <linux/videodev2.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int retried(int fd, unsigned long request, void *argument)
{
    int status;
    do
        status = ioctl(fd, request, argument);
    while (status < 0 && errno == EINTR);
    return status;
}

// "Exposure Time, Absolute" -> "exposure_time_absolute"
static void plain_name(const char *name, char *out, gsize size)
{
    gsize used = 0;
    gboolean gap = FALSE;
    for (; *name && used + 2 < size; name++) {
        if (!g_ascii_isalnum(*name)) {
            gap = used > 0;
            continue;
        }
        if (gap)
            out[used++] = '_';
        gap = FALSE;
        out[used++] = g_ascii_tolower(*name);
    }
    out[used] = '\0';
}

static gboolean find_control(int fd, const char *name, struct v4l2_queryctrl *out)
{
    struct v4l2_queryctrl query = {.id = V4L2_CTRL_FLAG_NEXT_CTRL};
    char found[sizeof(query.name)];
    while (retried(fd, VIDIOC_QUERYCTRL, &query) == 0) {
        plain_name((const char *)query.name, found, sizeof(found));
        if (!strcmp(found, name) && !(query.flags & V4L2_CTRL_FLAG_DISABLED)) {
            *out = query;
            return TRUE;
        }
        query.id |= V4L2_CTRL_FLAG_NEXT_CTRL;
    }
    return FALSE;
}

static gboolean apply(int fd, const char *device, const struct sl_config_control *wanted,
                      GString *remarks, GError **error)
{
    struct v4l2_queryctrl query;
    if (!find_control(fd, wanted->name, &query)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND, "%s: no control '%s'", device,
                    wanted->name);
        return FALSE;
    }
    struct v4l2_control control = {query.id, wanted->value};
    if (wanted->value < query.minimum || wanted->value > query.maximum) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                    "%s: control '%s': expected %d to %d, found %d", device, wanted->name,
                    query.minimum, query.maximum, wanted->value);
        return FALSE;
    }
    if (retried(fd, VIDIOC_S_CTRL, &control) < 0 || retried(fd, VIDIOC_G_CTRL, &control) < 0) {
        g_set_error(error, G_IO_ERROR, (gint)g_io_error_from_errno(errno), "%s: control '%s': %s",
                    device, wanted->name, g_strerror(errno));
        return FALSE;
    }
    if (control.value != wanted->value)
        g_string_append_printf(remarks, "%scontrol '%s': wanted %d, the camera took %d",
                               remarks->len ? "; " : "", wanted->name, wanted->value,
                               control.value);
    return TRUE;
}

gboolean sl_v4l2_controls_apply(const struct sl_config_v4l2 *v4l2, GString *remarks, GError **error)
{
    if (v4l2->controls_count == 0)
        return TRUE;
    const int fd = open(v4l2->device, O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        g_set_error(error, G_IO_ERROR, (gint)g_io_error_from_errno(errno), "%s: %s", v4l2->device,
                    g_strerror(errno));
        return FALSE;
    }
    gboolean good = TRUE;
    for (guint i = 0; i < v4l2->controls_count && good; i++)
        good = apply(fd, v4l2->device, &v4l2->controls[i], remarks, error);
    close(fd);
    return good;
}
