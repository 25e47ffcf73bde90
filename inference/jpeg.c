// JPEG in: size, region and scale of untrusted pictures, over libjpeg-turbo.
#include "inference/picture.h"

#include "inference/jpeg_memory.h"

#include <errno.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <jerror.h>

#define MAX_PIXELS_DEFAULT 100000000u
#define MAX_SCANS          100 // an encoder writes about ten; each costs a pass over the picture

struct sl_jpeg {
    struct jpeg_decompress_struct cinfo;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    struct sl_jpeg_memory memory;
    jmp_buf failed;
    int status;
    struct sl_error *error;
};

// The part of the scaled picture that is wanted.
struct window {
    uint32_t left, top, width, height;
};

static struct sl_jpeg *jpeg_of(j_common_ptr cinfo)
{
    return (struct sl_jpeg *)((char *)cinfo - offsetof(struct sl_jpeg, cinfo));
}

static int status_of(int code)
{
    switch (code) {
    case JERR_OUT_OF_MEMORY:
        return -ENOMEM;
    case JERR_ARITH_NOTIMPL:
    case JERR_BAD_PRECISION:
    case JERR_COMPONENT_COUNT:
    case JERR_CONVERSION_NOTIMPL:
    case JERR_FRACT_SAMPLE_NOTIMPL:
    case JERR_CCIR601_NOTIMPL:
    case JERR_NOTIMPL:
    case JERR_SOF_UNSUPPORTED:
        return -ENOTSUP;
    case JERR_IMAGE_TOO_BIG:
        return -EFBIG;
    default:
        return -EBADMSG;
    }
}

static _Noreturn void fail(j_common_ptr cinfo)
{
    struct sl_jpeg *jpeg = jpeg_of(cinfo);
    char text[JMSG_LENGTH_MAX];

    cinfo->err->format_message(cinfo, text);
    jpeg->status = status_of(cinfo->err->msg_code);
    sl_error_set(jpeg->error, jpeg->status, "%s JPEG picture: %s",
                 jpeg->status == -EBADMSG ? "damaged" : "unusable", text);
    longjmp(jpeg->failed, 1);
}

// libjpeg goes on after a warning with grey blocks; here it is the end.
static void on_message(j_common_ptr cinfo, int level)
{
    if (level < 0)
        fail(cinfo);
}

static void on_output(j_common_ptr cinfo)
{
    (void)cinfo;
}

static void on_progress(j_common_ptr cinfo)
{
    struct sl_jpeg *jpeg = jpeg_of(cinfo);

    if (jpeg->cinfo.input_scan_number <= MAX_SCANS)
        return;
    jpeg->status =
        sl_error_set(jpeg->error, -EFBIG, "unusable JPEG picture: more than %d scans", MAX_SCANS);
    longjmp(jpeg->failed, 1);
}

int sl_jpeg_new(struct sl_jpeg **out, struct sl_error *error)
{
    static const uint8_t nothing[2];
    struct sl_jpeg *jpeg = calloc(1, sizeof(*jpeg));
    if (jpeg == NULL)
        return sl_error_set(error, -ENOMEM, "JPEG decoder: out of memory");

    jpeg->error = error;
    jpeg->cinfo.err = jpeg_std_error(&jpeg->errors);
    jpeg->errors.error_exit = fail;
    jpeg->errors.emit_message = on_message;
    jpeg->errors.output_message = on_output;
    if (setjmp(jpeg->failed) != 0) {
        int status = jpeg->status;
        sl_jpeg_free(jpeg);
        return status;
    }
    jpeg_create_decompress(&jpeg->cinfo);
    jpeg_mem_src(&jpeg->cinfo, nothing, sizeof(nothing)); // allocates, so before our memory
    jpeg->cinfo.client_data = &jpeg->memory;
    jpeg->progress.progress_monitor = on_progress;
    jpeg->cinfo.progress = &jpeg->progress;
    sl_jpeg_memory_install(&jpeg->cinfo);
    *out = jpeg;
    return 0;
}

void sl_jpeg_free(struct sl_jpeg *jpeg)
{
    if (jpeg == NULL)
        return;
    jpeg_destroy_decompress(&jpeg->cinfo);
    sl_jpeg_memory_free(&jpeg->memory);
    free(jpeg);
}

static int read_header(struct sl_jpeg *jpeg, const void *bytes, size_t size)
{
    struct jpeg_decompress_struct *cinfo = &jpeg->cinfo;

    if (bytes == NULL || size == 0)
        return sl_error_set(jpeg->error, -EBADMSG, "damaged JPEG picture: it is empty");
    jpeg_mem_src(cinfo, bytes, size);
    jpeg_read_header(cinfo, TRUE);
    if (cinfo->image_width > SL_PICTURE_MAX_SIDE || cinfo->image_height > SL_PICTURE_MAX_SIDE)
        return sl_error_set(jpeg->error, -EFBIG,
                            "JPEG picture: %ux%u pixels, the longest side may have %u",
                            cinfo->image_width, cinfo->image_height, SL_PICTURE_MAX_SIDE);
    return 0;
}

int sl_jpeg_size(struct sl_jpeg *jpeg, const void *bytes, size_t size, uint32_t *width,
                 uint32_t *height, struct sl_error *error)
{
    jpeg->error = error;
    if (setjmp(jpeg->failed) == 0) {
        jpeg->status = read_header(jpeg, bytes, size);
        if (jpeg->status == 0) {
            *width = jpeg->cinfo.image_width;
            *height = jpeg->cinfo.image_height;
        }
    }
    jpeg_abort_decompress(&jpeg->cinfo);
    return jpeg->status;
}

static int check_request(const struct sl_jpeg_request *r, struct sl_error *error)
{
    if (r->pixels != SL_PIXELS_GREY && r->pixels != SL_PIXELS_RGB)
        return sl_error_set(error, -EINVAL, "JPEG request: pixel format %u, expected grey or RGB",
                            r->pixels);
    if (r->scale != 1 && r->scale != 2 && r->scale != 4 && r->scale != 8)
        return sl_error_set(error, -EINVAL, "JPEG request: scale 1/%u, expected 1, 2, 4 or 8",
                            r->scale);
    return 0;
}

// Checks what the header promises against the request and says which window is wanted.
static int plan(const struct sl_jpeg *jpeg, const struct sl_jpeg_request *r, struct window *window)
{
    const uint32_t width = jpeg->cinfo.image_width, height = jpeg->cinfo.image_height;
    const uint32_t max_pixels = r->max_pixels != 0 ? r->max_pixels : MAX_PIXELS_DEFAULT;
    const uint32_t w = r->width != 0 ? r->width : width, h = r->width != 0 ? r->height : height;
    const uint32_t x = r->width != 0 ? r->x : 0, y = r->width != 0 ? r->y : 0;

    if (height > max_pixels / width)
        return sl_error_set(jpeg->error, -EFBIG, "JPEG picture: %ux%u pixels, at most %u are taken",
                            width, height, max_pixels);
    if (h == 0 || x > width || w > width - x || y > height || h > height - y)
        return sl_error_set(
            jpeg->error, -ERANGE,
            "JPEG request: region %ux%u at (%u, %u) is not inside the %ux%u picture", w, h, x, y,
            width, height);
    window->left = x / r->scale;
    window->top = y / r->scale;
    window->width = (x + w + r->scale - 1) / r->scale - window->left;
    window->height = (y + h + r->scale - 1) / r->scale - window->top;
    return 0;
}

static int check_room(const struct sl_jpeg *jpeg, const struct window *window, uint32_t bytes_pixel,
                      const uint8_t *dst, uint32_t stride, size_t dst_size)
{
    const uint64_t row = (uint64_t)window->width * bytes_pixel;

    if (dst != NULL && stride >= row && (uint64_t)stride * (window->height - 1) + row <= dst_size)
        return 0;
    return sl_error_set(jpeg->error, -ENOSPC,
                        "JPEG picture: %ux%u pixels of %u bytes do not fit into %zu bytes with %u "
                        "bytes a row",
                        window->width, window->height, bytes_pixel, dst_size, stride);
}

// Columns of the window among the columns that libjpeg now gives. It decodes whole blocks, and is
// asked for two more columns because chroma of a column is interpolated from its neighbours.
static uint32_t crop_columns(struct jpeg_decompress_struct *cinfo, const struct window *window)
{
    JDIMENSION left = window->left > 2 ? window->left - 2 : 0;
    JDIMENSION right = window->left + window->width;
    right = cinfo->output_width - right > 2 ? right + 2 : cinfo->output_width;
    JDIMENSION width = right - left;

    if (width == cinfo->output_width)
        return window->left;
    jpeg_crop_scanline(cinfo, &left, &width);
    return window->left - left;
}

static void read_rows(struct jpeg_decompress_struct *cinfo, const struct window *window,
                      uint32_t bytes_pixel, uint8_t *dst, uint32_t stride)
{
    const uint32_t skip = crop_columns(cinfo, window) * bytes_pixel;
    JSAMPROW scratch = cinfo->mem->alloc_large((j_common_ptr)cinfo, JPOOL_IMAGE,
                                               (size_t)cinfo->output_width * bytes_pixel);
    const bool direct = skip == 0 && cinfo->output_width == window->width;

    if (window->top > 0)
        jpeg_skip_scanlines(cinfo, window->top);
    for (uint32_t y = 0; y < window->height; y++) {
        uint8_t *to = dst + (size_t)y * stride;
        JSAMPROW row = direct ? to : scratch;
        jpeg_read_scanlines(cinfo, &row, 1);
        if (!direct)
            memcpy(to, scratch + skip, (size_t)window->width * bytes_pixel);
    }
    // Damage below the window counts too. Skipping to the very end would not look at the data,
    // hence one row short of it.
    const uint32_t below = cinfo->output_height - cinfo->output_scanline;
    if (below > 1)
        jpeg_skip_scanlines(cinfo, below - 1);
    if (below > 0)
        jpeg_read_scanlines(cinfo, &scratch, 1);
    jpeg_finish_decompress(cinfo);
}

static int decode(struct sl_jpeg *jpeg, const void *bytes, size_t size,
                  const struct sl_jpeg_request *request, uint8_t *dst, uint32_t stride,
                  size_t dst_size, struct sl_picture *out)
{
    struct jpeg_decompress_struct *cinfo = &jpeg->cinfo;
    const uint32_t bytes_pixel = request->pixels == SL_PIXELS_GREY ? 1 : 3;
    struct window window;

    int status = read_header(jpeg, bytes, size);
    if (status == 0)
        status = plan(jpeg, request, &window);
    if (status == 0)
        status = check_room(jpeg, &window, bytes_pixel, dst, stride, dst_size);
    if (status != 0)
        return status;

    cinfo->out_color_space = request->pixels == SL_PIXELS_GREY ? JCS_GRAYSCALE : JCS_RGB;
    cinfo->scale_num = 1;
    cinfo->scale_denom = request->scale;
    cinfo->dct_method = JDCT_ISLOW;
    cinfo->do_block_smoothing = FALSE;
    jpeg_start_decompress(cinfo);
    read_rows(cinfo, &window, bytes_pixel, dst, stride);
    *out = (struct sl_picture){.pixels = request->pixels,
                               .width = window.width,
                               .height = window.height,
                               .plane = {dst},
                               .stride = {stride}};
    return 0;
}

int sl_jpeg_decode(struct sl_jpeg *jpeg, const void *bytes, size_t size,
                   const struct sl_jpeg_request *request, uint8_t *dst, uint32_t stride,
                   size_t dst_size, struct sl_picture *out, struct sl_error *error)
{
    int status = check_request(request, error);
    if (status != 0)
        return status;
    jpeg->error = error;
    if (setjmp(jpeg->failed) == 0)
        jpeg->status = decode(jpeg, bytes, size, request, dst, stride, dst_size, out);
    jpeg_abort_decompress(&jpeg->cinfo);
    return jpeg->status;
}
