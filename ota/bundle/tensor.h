// The input tensor that a model wants, as text: TYPE:LAYOUT:DIMS, "float32:nchw:1x2x640x640".
#ifndef SL_OTA_BUNDLE_TENSOR_H
#define SL_OTA_BUNDLE_TENSOR_H

#include "ota/bundle/manifest.h"

#define SL_TENSOR_TEXT 96 // with NUL, the longest there is

// False: not of that form; *out is untouched.
bool sl_tensor_parse(const char *text, struct sl_tensor_abi *out);
// Of a tensor that was parsed or read.
void sl_tensor_text(const struct sl_tensor_abi *tensor, char out[SL_TENSOR_TEXT]);

#endif
