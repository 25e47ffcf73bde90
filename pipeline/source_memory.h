// A model source over the verified bytes of a bundle.
#ifndef SL_PIPELINE_SOURCE_MEMORY_H
#define SL_PIPELINE_SOURCE_MEMORY_H

#include "inference/model.h"
#include "ota/control.h"

// Maps the descriptor that came with `message`; the message need not live longer than the call, and
// `fd` stays the caller's. Refused: a descriptor that could still change, or a component that is
// not inside it.
int sl_model_source_memory(int fd, const struct sl_control_message *message,
                           struct sl_model_source **out, struct sl_error *error);

#endif
