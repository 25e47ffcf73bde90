// CRC-32C, one bit at a time: it is only ever run over one superblock.
#include "ota/bundle/crc32c.h"

uint32_t sl_crc32c(const void *bytes, size_t size)
{
    const uint8_t *p = bytes;
    uint32_t crc = 0xFFFFFFFFu;
    while (size-- > 0) {
        crc ^= *p++;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (0x82F63B78u & (0u - (crc & 1)));
    }
    return ~crc;
}
