// CRC-32C (Castagnoli, RFC 3720 appendix B.4).
#ifndef SL_OTA_BUNDLE_CRC32C_H
#define SL_OTA_BUNDLE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

uint32_t sl_crc32c(const void *bytes, size_t size);

#endif
