// A stand-in for a V4L2 camera, to be preloaded into a program.
//
// FAKE_V4L2_DEVICE   the path that it stands for (a link to /dev/null, so that it is a device)
// FAKE_V4L2_PICTURE  the JPEG that it delivers, 640 x 640 at 30 frames a second
// FAKE_V4L2_CONTROL  a file with one word: run, stall (no frames, no error), unplug (gone), busy
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { SIDE = 640, ROOM = 1 << 20, MOST_BUFFERS = 32, RATE = 30 };

static int device = -1; // a timer that is readable when a frame is due
static int twin = -1;   // GStreamer's buffer pool works on a duplicate
static bool streaming;
static uint32_t n_buffers, queue[MOST_BUFFERS], queued;
static uint8_t *memory[MOST_BUFFERS];
static uint8_t picture[ROOM];
static uint32_t picture_size, sequence;
static int32_t brightness = 50;

int ioctl(int fd, unsigned long request, ...);

static bool word_is(const char *word)
{
    char text[32] = "";
    const char *path = getenv("FAKE_V4L2_CONTROL");
    const int fd = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0) : -1;
    if (fd < 0)
        return false;
    const ssize_t n = syscall(SYS_read, fd, text, sizeof(text) - 1);
    syscall(SYS_close, fd);
    return n > 0 && !strncmp(text, word, strlen(word));
}

static bool is_ours(const char *path)
{
    const char *name = getenv("FAKE_V4L2_DEVICE");
    return name && path && !strcmp(name, path);
}

static int open_device(void)
{
    if (word_is("unplug")) {
        errno = ENODEV;
        return -1;
    }
    const char *path = getenv("FAKE_V4L2_PICTURE");
    const int fd = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0) : -1;
    const ssize_t n = fd < 0 ? -1 : syscall(SYS_read, fd, picture, sizeof(picture));
    if (fd >= 0)
        syscall(SYS_close, fd);
    picture_size = n > 0 ? (uint32_t)n : 0;
    device = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    streaming = false;
    n_buffers = queued = 0;
    return device;
}

static int any_open(int at, const char *path, int flags, mode_t mode)
{
    return is_ours(path) ? open_device() : (int)syscall(SYS_openat, at, path, flags, mode);
}

#define MODE_OF(flags, mode)                                                                       \
    mode_t mode = 0;                                                                               \
    if ((flags) & (O_CREAT | O_TMPFILE)) {                                                         \
        va_list list;                                                                              \
        va_start(list, flags);                                                                     \
        mode = va_arg(list, mode_t);                                                               \
        va_end(list);                                                                              \
    }

__attribute__((visibility("default"))) int open(const char *path, int flags, ...)
{
    MODE_OF(flags, mode)
    return any_open(AT_FDCWD, path, flags, mode);
}

__attribute__((visibility("default"))) int open64(const char *path, int flags, ...)
{
    MODE_OF(flags, mode)
    return any_open(AT_FDCWD, path, flags | O_LARGEFILE, mode);
}

static bool is_device(int fd)
{
    return fd >= 0 && (fd == device || fd == twin);
}

__attribute__((visibility("default"))) int dup(int fd)
{
    const int copy = (int)syscall(SYS_dup, fd);
    if (is_device(fd))
        twin = copy;
    return copy;
}

__attribute__((visibility("default"))) int close(int fd)
{
    if (fd >= 0 && fd == device)
        device = -1;
    if (fd >= 0 && fd == twin)
        twin = -1;
    return (int)syscall(SYS_close, fd);
}

static void *any_mmap(void *at, size_t length, int protection, int flags, int fd, off_t offset)
{
    if (is_device(fd) && (size_t)offset / ROOM < n_buffers) {
        const size_t i = (size_t)offset / ROOM;
        memory[i] = (uint8_t *)syscall(SYS_mmap, NULL, ROOM, PROT_READ | PROT_WRITE,
                                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        return memory[i];
    }
    return (void *)syscall(SYS_mmap, at, length, protection, flags, fd, offset);
}

__attribute__((visibility("default"))) void *mmap(void *at, size_t length, int protection, int flags,
                                                  int fd, off_t offset)
{
    return any_mmap(at, length, protection, flags, fd, offset);
}

__attribute__((visibility("default"))) void *mmap64(void *at, size_t length, int protection,
                                                    int flags, int fd, off64_t offset)
{
    return any_mmap(at, length, protection, flags, fd, offset);
}

static int fail(int problem)
{
    errno = problem;
    return -1;
}

static void arm(bool on)
{
    const long period = on ? 1000000000L / RATE : 0;
    const struct itimerspec spec = {{0, period}, {0, period}};
    timerfd_settime(device, 0, &spec, NULL);
}

static void fill_format(struct v4l2_format *f)
{
    f->type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
    f->fmt.pix = (struct v4l2_pix_format){.width = SIDE, .height = SIDE,
                                          .pixelformat = V4L2_PIX_FMT_MJPEG,
                                          .field = V4L2_FIELD_NONE, .sizeimage = ROOM,
                                          .colorspace = V4L2_COLORSPACE_JPEG};
}

static void fill_buffer(struct v4l2_buffer *b, uint32_t index)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    *b = (struct v4l2_buffer){.index = index, .type = V4L2_BUF_TYPE_VIDEO_CAPTURE,
                              .memory = V4L2_MEMORY_MMAP, .length = ROOM, .m.offset = index * ROOM,
                              .field = V4L2_FIELD_NONE,
                              .flags = V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC | V4L2_BUF_FLAG_MAPPED,
                              .timestamp = {now.tv_sec, now.tv_nsec / 1000}};
}

static int take_frame(struct v4l2_buffer *b)
{
    uint64_t ticks;
    if (syscall(SYS_read, device, &ticks, sizeof(ticks)) < 0 || queued == 0)
        return fail(EAGAIN);
    if (word_is("stall")) // this frame is the last: from now on nothing happens
        arm(false);
    const uint32_t index = queue[0];
    memmove(queue, queue + 1, --queued * sizeof(queue[0]));
    if (memory[index])
        memcpy(memory[index], picture, picture_size);
    fill_buffer(b, index);
    b->bytesused = picture_size;
    b->sequence = sequence++;
    return 0;
}

static int control(unsigned long request, void *data)
{
    struct v4l2_queryctrl *query = data;
    struct v4l2_control *value = data;
    if (request == VIDIOC_QUERYCTRL) {
        const bool next = (query->id & V4L2_CTRL_FLAG_NEXT_CTRL) != 0;
        const uint32_t id = query->id & ~(uint32_t)V4L2_CTRL_FLAG_NEXT_CTRL;
        if (next ? id >= V4L2_CID_BRIGHTNESS : id != V4L2_CID_BRIGHTNESS)
            return fail(EINVAL);
        *query = (struct v4l2_queryctrl){.id = V4L2_CID_BRIGHTNESS, .type = V4L2_CTRL_TYPE_INTEGER,
                                         .name = "Brightness", .maximum = 100, .step = 1,
                                         .default_value = 50};
        return 0;
    }
    if (value->id != V4L2_CID_BRIGHTNESS)
        return fail(EINVAL);
    if (request == VIDIOC_S_CTRL) // this camera knows only even values
        brightness = value->value & ~1;
    value->value = brightness;
    return 0;
}

static int describe(unsigned long request, void *data)
{
    struct v4l2_capability *capability = data;
    struct v4l2_fmtdesc *format = data;
    struct v4l2_frmsizeenum *size = data;
    struct v4l2_frmivalenum *interval = data;
    switch (request) {
    case VIDIOC_QUERYCAP:
        *capability = (struct v4l2_capability){
            .driver = "fake", .card = "Stand-in", .bus_info = "none",
            .capabilities = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING | V4L2_CAP_DEVICE_CAPS,
            .device_caps = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING};
        return 0;
    case VIDIOC_ENUM_FMT:
        if (format->index > 0 || format->type != V4L2_BUF_TYPE_VIDEO_CAPTURE)
            return fail(EINVAL);
        format->pixelformat = V4L2_PIX_FMT_MJPEG;
        format->flags = V4L2_FMT_FLAG_COMPRESSED;
        strcpy((char *)format->description, "Motion-JPEG");
        return 0;
    case VIDIOC_ENUM_FRAMESIZES:
        if (size->index > 0)
            return fail(EINVAL);
        size->type = V4L2_FRMSIZE_TYPE_DISCRETE;
        size->discrete = (struct v4l2_frmsize_discrete){SIDE, SIDE};
        return 0;
    default:
        if (interval->index > 0)
            return fail(EINVAL);
        interval->type = V4L2_FRMIVAL_TYPE_DISCRETE;
        interval->discrete = (struct v4l2_fract){1, RATE};
        return 0;
    }
}

static int stream(unsigned long request, void *data)
{
    struct v4l2_requestbuffers *wanted = data;
    struct v4l2_buffer *b = data;
    switch (request) {
    case VIDIOC_REQBUFS:
        if (wanted->memory != V4L2_MEMORY_MMAP)
            return fail(EINVAL);
        wanted->count = wanted->count > MOST_BUFFERS ? MOST_BUFFERS : wanted->count;
        n_buffers = wanted->count;
        queued = 0;
        return 0;
    case VIDIOC_QUERYBUF:
        if (b->index >= n_buffers)
            return fail(EINVAL);
        fill_buffer(b, b->index);
        return 0;
    case VIDIOC_QBUF:
        if (b->index >= n_buffers || queued == MOST_BUFFERS)
            return fail(EINVAL);
        queue[queued++] = b->index;
        b->flags |= V4L2_BUF_FLAG_QUEUED;
        return 0;
    case VIDIOC_DQBUF:
        return take_frame(b);
    default:
        streaming = request == VIDIOC_STREAMON;
        arm(streaming && !word_is("stall"));
        return 0;
    }
}

static int fake_ioctl(unsigned long request, void *data)
{
    struct v4l2_streamparm *parameters = data;
    if (word_is("unplug"))
        return fail(ENODEV);
    switch (request) {
    case VIDIOC_QUERYCAP:
    case VIDIOC_ENUM_FMT:
    case VIDIOC_ENUM_FRAMESIZES:
    case VIDIOC_ENUM_FRAMEINTERVALS:
        return describe(request, data);
    case VIDIOC_G_FMT:
    case VIDIOC_S_FMT:
    case VIDIOC_TRY_FMT:
        if (word_is("busy") && request == VIDIOC_S_FMT)
            return fail(EBUSY);
        fill_format(data);
        return 0;
    case VIDIOC_G_PARM:
    case VIDIOC_S_PARM:
        memset(&parameters->parm, 0, sizeof(parameters->parm));
        parameters->parm.capture.capability = V4L2_CAP_TIMEPERFRAME;
        parameters->parm.capture.timeperframe = (struct v4l2_fract){1, RATE};
        return 0;
    case VIDIOC_QUERYCTRL:
    case VIDIOC_S_CTRL:
    case VIDIOC_G_CTRL:
        return control(request, data);
    case VIDIOC_REQBUFS:
    case VIDIOC_QUERYBUF:
    case VIDIOC_QBUF:
    case VIDIOC_DQBUF:
    case VIDIOC_STREAMON:
    case VIDIOC_STREAMOFF:
        return stream(request, data);
    default:
        return fail(ENOTTY);
    }
}

__attribute__((visibility("default"))) int ioctl(int fd, unsigned long request, ...)
{
    va_list list;
    va_start(list, request);
    void *data = va_arg(list, void *);
    va_end(list);
    if (!is_device(fd))
        return (int)syscall(SYS_ioctl, fd, request, data);
    return fake_ioctl(request & 0xffffffff, data);
}
