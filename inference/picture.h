// Pictures as planes of bytes, and their way in from JPEG.
#ifndef SL_INFERENCE_PICTURE_H
#define SL_INFERENCE_PICTURE_H

#include "accel/error.h"

#include <stddef.h>
#include <stdint.h>

enum sl_pixels {
    SL_PIXELS_GREY = 1, // plane 0
    SL_PIXELS_RGB,      // plane 0, three bytes a pixel
    SL_PIXELS_BGR,
    SL_PIXELS_RGBX, // four bytes a pixel, the last without meaning
    SL_PIXELS_BGRX,
    SL_PIXELS_NV12, // plane 0 luma, plane 1 chroma pairs, BT.601 full range
    SL_PIXELS_I420, // three planes
    SL_PIXELS_YUYV, // plane 0, packed 4:2:2
};

#define SL_PICTURE_MAX_SIDE 16384u

// A view: whoever fills it owns the bytes. Strides are in bytes.
struct sl_picture {
    uint32_t pixels; // enum sl_pixels
    uint32_t width, height;
    const uint8_t *plane[3];
    uint32_t stride[3];
};

// Decodes JPEG; keeps its libjpeg state and buffers between calls, so that a decoder that has seen
// a picture of a size allocates nothing for the next one of that size. One thread at a time.
struct sl_jpeg;

struct sl_jpeg_request {
    uint32_t pixels; // SL_PIXELS_GREY (luma only) or SL_PIXELS_RGB
    uint32_t scale;  // 1, 2, 4 or 8: decode at 1/scale with the DCT
    // Region in pixels of the full picture; width 0 means all of it. The result is this region at
    // 1/scale; it is refused (-ERANGE) if it lies outside the picture.
    uint32_t x, y, width, height;
    uint32_t max_pixels; // of the full picture; 0 means 100 million. Checked before anything is
                         // allocated
};

int sl_jpeg_new(struct sl_jpeg **out, struct sl_error *error);
void sl_jpeg_free(struct sl_jpeg *jpeg);

// Size of a picture without decoding it.
int sl_jpeg_size(struct sl_jpeg *jpeg, const void *bytes, size_t size, uint32_t *width,
                 uint32_t *height, struct sl_error *error);

// Decodes into `dst` (`stride` bytes a row, `dst_size` bytes in all) and fills `out`, whose plane
// points into dst. Any damage (libjpeg warnings too: missing data, bad Huffman codes) is -EBADMSG:
// a picture that was not transmitted whole must not be judged.
int sl_jpeg_decode(struct sl_jpeg *jpeg, const void *bytes, size_t size,
                   const struct sl_jpeg_request *request, uint8_t *dst, uint32_t stride,
                   size_t dst_size, struct sl_picture *out, struct sl_error *error);

// Writes a grey or RGB picture as JPEG into a buffer that grows with realloc (*bytes may start as
// NULL) and is the caller's to free.
int sl_jpeg_encode(const struct sl_picture *picture, int quality, uint8_t **bytes, size_t *capacity,
                   size_t *size, struct sl_error *error);

#endif
