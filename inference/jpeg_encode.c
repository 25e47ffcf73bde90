// JPEG out: evidence pictures into a buffer that grows.
#include "inference/picture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <jpeglib.h>
#include <jerror.h>

#define CAPACITY_MIN ((size_t)32 * 1024)

struct encoder {
    struct jpeg_compress_struct cinfo; // first, so that the handlers find the rest
    struct jpeg_error_mgr errors;
    struct jpeg_destination_mgr destination;
    jmp_buf failed;
    int status;
    struct sl_error *error;
    uint8_t **bytes;
    size_t *capacity;
};

static _Noreturn void fail(j_common_ptr cinfo)
{
    struct encoder *encoder = (struct encoder *)cinfo;
    char text[JMSG_LENGTH_MAX];

    cinfo->err->format_message(cinfo, text);
    encoder->status = cinfo->err->msg_code == JERR_OUT_OF_MEMORY ? -ENOMEM : -EINVAL;
    sl_error_set(encoder->error, encoder->status, "cannot write the JPEG picture: %s", text);
    longjmp(encoder->failed, 1);
}

static void on_output(j_common_ptr cinfo)
{
    (void)cinfo;
}

static void grow(j_compress_ptr cinfo, size_t used)
{
    struct encoder *encoder = (struct encoder *)cinfo;
    size_t capacity = *encoder->capacity;

    if (used == capacity) {
        uint8_t *bytes = NULL;
        capacity = capacity < CAPACITY_MIN ? CAPACITY_MIN : capacity;
        if (capacity <= SIZE_MAX / 2)
            bytes = realloc(*encoder->bytes, capacity * 2);
        if (bytes == NULL)
            ERREXIT1(cinfo, JERR_OUT_OF_MEMORY, 1);
        *encoder->bytes = bytes;
        *encoder->capacity = capacity * 2;
    }
    cinfo->dest->next_output_byte = *encoder->bytes + used;
    cinfo->dest->free_in_buffer = *encoder->capacity - used;
}

static void on_start(j_compress_ptr cinfo)
{
    grow(cinfo, 0);
}

// libjpeg calls this with the whole buffer written, whatever free_in_buffer says.
static boolean on_full(j_compress_ptr cinfo)
{
    grow(cinfo, *((struct encoder *)cinfo)->capacity);
    return TRUE;
}

static void on_end(j_compress_ptr cinfo)
{
    (void)cinfo;
}

static void write_picture(struct encoder *encoder, const struct sl_picture *picture, int quality)
{
    struct jpeg_compress_struct *cinfo = &encoder->cinfo;
    const bool grey = picture->pixels == SL_PIXELS_GREY;

    cinfo->image_width = picture->width;
    cinfo->image_height = picture->height;
    cinfo->input_components = grey ? 1 : 3;
    cinfo->in_color_space = grey ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_set_defaults(cinfo);
    jpeg_set_quality(cinfo, quality, TRUE);
    jpeg_start_compress(cinfo, TRUE);
    for (uint32_t y = 0; y < picture->height; y++) {
        // libjpeg takes rows that it does not write to without const.
        union {
            const uint8_t *from;
            JSAMPROW row;
        } row = {picture->plane[0] + (size_t)y * picture->stride[0]};
        jpeg_write_scanlines(cinfo, &row.row, 1);
    }
    jpeg_finish_compress(cinfo);
}

static int check(const struct sl_picture *picture, int quality, struct sl_error *error)
{
    if (picture->pixels != SL_PIXELS_GREY && picture->pixels != SL_PIXELS_RGB)
        return sl_error_set(error, -EINVAL, "JPEG encoder: pixel format %u, expected grey or RGB",
                            picture->pixels);
    if (picture->width == 0 || picture->height == 0 || picture->width > SL_PICTURE_MAX_SIDE ||
        picture->height > SL_PICTURE_MAX_SIDE)
        return sl_error_set(error, -EINVAL, "JPEG encoder: %ux%u pixels, expected 1 to %u a side",
                            picture->width, picture->height, SL_PICTURE_MAX_SIDE);
    if (quality < 1 || quality > 100)
        return sl_error_set(error, -EINVAL, "JPEG encoder: quality %d, expected 1 to 100", quality);
    return 0;
}

int sl_jpeg_encode(const struct sl_picture *picture, int quality, uint8_t **bytes, size_t *capacity,
                   size_t *size, struct sl_error *error)
{
    struct encoder encoder = {.error = error, .bytes = bytes, .capacity = capacity};
    int status = check(picture, quality, error);
    if (status != 0)
        return status;

    if (*bytes == NULL)
        *capacity = 0;
    encoder.cinfo.err = jpeg_std_error(&encoder.errors);
    encoder.errors.error_exit = fail;
    encoder.errors.output_message = on_output;
    encoder.destination.init_destination = on_start;
    encoder.destination.empty_output_buffer = on_full;
    encoder.destination.term_destination = on_end;
    if (setjmp(encoder.failed) == 0) {
        jpeg_create_compress(&encoder.cinfo);
        encoder.cinfo.dest = &encoder.destination;
        write_picture(&encoder, picture, quality);
        *size = *capacity - encoder.destination.free_in_buffer;
    }
    jpeg_destroy_compress(&encoder.cinfo);
    return encoder.status;
}
