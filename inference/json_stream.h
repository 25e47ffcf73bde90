// JSON (RFC 8259) as a stream of events, for files that are too large to be held: memory is bounded
// whatever the file. Refused: anything that the grammar does not allow, more than JSON_MOST_DEPTH
// levels, \u0000, unpaired surrogates, numbers beyond what a double holds.
#ifndef SL_INFERENCE_JSON_STREAM_H
#define SL_INFERENCE_JSON_STREAM_H

#include "accel/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { JSON_MOST_DEPTH = 64, JSON_TEXT = 1024 };

enum json_kind {
    JSON_END, // of the innermost object or array
    JSON_OBJECT,
    JSON_ARRAY,
    JSON_KEY, // `text`; its value comes next
    JSON_STRING,
    JSON_NUMBER,
    JSON_BOOL, // number 0 or 1
    JSON_NULL,
    JSON_FINISH // after the value of the file
};

struct json {
    const char *name; // for messages
    FILE *file;       // the caller's
    uint64_t line;
    int depth;
    bool in_object[JSON_MOST_DEPTH], first[JSON_MOST_DEPTH], after_key, finished;
    // The last event's text, cut after JSON_TEXT - 1 bytes (`cut`), and number.
    char text[JSON_TEXT];
    bool cut;
    double number;
};

void json_begin(struct json *json, const char *name, FILE *file);
// -EBADMSG with name and line, what was expected and found.
int json_next(struct json *json, enum json_kind *out, struct sl_error *error);
// Passes over the rest of a value whose first event was `kind`.
int json_skip(struct json *json, enum json_kind kind, struct sl_error *error);
// For messages: what an event is called.
const char *json_kind_name(enum json_kind kind);

#endif
