// Fuzz target: any bytes are a picture or an error. The first byte picks scale, format and region.
#include "inference/picture.h"

#include <stdint.h>
#include <stdlib.h>

#define STRIDE (2048u * 3)
#define ROOM   (STRIDE * 2048u)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static struct sl_jpeg *jpeg;
    static uint8_t *dst;
    struct sl_error error;
    struct sl_picture out;
    uint32_t width, height;

    if (jpeg == NULL && (sl_jpeg_new(&jpeg, &error) != 0 || (dst = malloc(ROOM)) == NULL))
        abort();
    if (size == 0)
        return 0;
    struct sl_jpeg_request request = {.pixels = bytes[0] & 1 ? SL_PIXELS_RGB : SL_PIXELS_GREY,
                                      .scale = 1u << (bytes[0] >> 1 & 3),
                                      .max_pixels = 2048 * 2048};
    bytes++;
    size--;
    if (sl_jpeg_size(jpeg, bytes, size, &width, &height, &error) == 0 && width % 2 == 0) {
        request.x = width / 3;
        request.y = height / 3;
        request.width = (width + 1) / 2;
        request.height = (height + 1) / 2;
    }
    sl_jpeg_decode(jpeg, bytes, size, &request, dst, STRIDE, ROOM, &out, &error);
    return 0;
}
