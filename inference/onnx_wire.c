// The protobuf wire format of an ONNX file, checked before it is decoded.
// Source: protobuf.dev, "Encoding".
#include "inference/onnx_parse.h"

#include <errno.h>
#include <string.h>

#define MAX_DEPTH 32

enum wire_type { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };

struct message {
    const ProtobufCMessageDescriptor *type;
    const uint8_t *end;
    uint64_t seen; // fields that may stand only once, by their index
};

struct wire {
    const uint8_t *at, *start;
    struct message stack[MAX_DEPTH];
    int depth; // of the message being read
    struct sl_error *error;
};

static int fail(struct wire *w, const char *what)
{
    return sl_error_set(w->error, -EINVAL, "not an ONNX file: byte %zu, in %s: %s",
                        (size_t)(w->at - w->start), w->stack[w->depth].type->short_name, what);
}

static int read_varint(struct wire *w, uint64_t *out)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        if (w->at == w->stack[w->depth].end) {
            return fail(w, "it ends within a number");
        }
        uint8_t byte = *w->at++;
        if (shift == 63 && byte > 1) {
            break;
        }
        value |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) {
            *out = value;
            return 0;
        }
    }
    return fail(w, "a number has more than 64 bits");
}

// Length of the UTF-8 sequence at `s` (RFC 3629), 0 if there is none.
static size_t utf8_length(const uint8_t *s, size_t left)
{
    if (s[0] < 0x80) {
        return 1;
    }
    size_t n = s[0] >= 0xF0 ? 4 : s[0] >= 0xE0 ? 3 : 2;
    if (s[0] < 0xC2 || s[0] > 0xF4 || left < n) {
        return 0;
    }
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xC0) != 0x80) {
            return 0;
        }
    }
    bool overlong = (s[0] == 0xE0 && s[1] < 0xA0) || (s[0] == 0xF0 && s[1] < 0x90);
    bool beyond = (s[0] == 0xED && s[1] > 0x9F) || (s[0] == 0xF4 && s[1] > 0x8F);
    return overlong || beyond ? 0 : n;
}

// Names end up in messages and on terminals: no control characters in them, except that prose may
// have line ends and tabs.
static bool is_clean_text(const uint8_t *s, size_t size, bool prose)
{
    for (size_t i = 0; i < size;) {
        size_t n = utf8_length(s + i, size - i);
        bool blank = s[i] == '\n' || s[i] == '\t' || s[i] == '\r';
        if (n == 0 || s[i] == 0x7F || (s[i] < 0x20 && !(prose && blank))) {
            return false;
        }
        i += n;
    }
    return true;
}

static int check_once(struct wire *w, const ProtobufCFieldDescriptor *field)
{
    struct message *m = &w->stack[w->depth];
    uint64_t bit = UINT64_C(1) << (unsigned)(field - m->type->fields);
    if (m->seen & bit) {
        return fail(w, "a field that may stand once is given twice");
    }
    m->seen |= bit;
    return 0;
}

static int check_bytes(struct wire *w, const ProtobufCFieldDescriptor *field, uint64_t length)
{
    const uint8_t *end = w->at + length;
    if (field && field->type == PROTOBUF_C_TYPE_STRING &&
        !is_clean_text(w->at, (size_t)length, strcmp(field->name, "doc_string") == 0)) {
        return fail(w, "a name is not printable UTF-8 text");
    }
    if (field && field->type == PROTOBUF_C_TYPE_MESSAGE) {
        if (w->depth + 1 == MAX_DEPTH) {
            return fail(w, "messages are nested deeper than any model needs");
        }
        w->stack[++w->depth] = (struct message){field->descriptor, end, 0};
        return 0;
    }
    w->at = end;
    return 0;
}

static int skip_fixed(struct wire *w, size_t size)
{
    if ((size_t)(w->stack[w->depth].end - w->at) < size) {
        return fail(w, "it ends within a number");
    }
    w->at += size;
    return 0;
}

static int check_field(struct wire *w)
{
    uint64_t tag = 0, value = 0;
    int status = read_varint(w, &tag);
    if (status) {
        return status;
    }
    if (tag >> 3 == 0 || tag > UINT32_MAX) {
        return fail(w, "a field has an impossible number");
    }
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field(w->stack[w->depth].type, (unsigned)(tag >> 3));
    if (field && field->label != PROTOBUF_C_LABEL_REPEATED) {
        status = check_once(w, field);
        if (status) {
            return status;
        }
    }
    switch (tag & 7) {
    case VARINT:
        return read_varint(w, &value);
    case FIXED64:
        return skip_fixed(w, 8);
    case FIXED32:
        return skip_fixed(w, 4);
    case BYTES:
        status = read_varint(w, &value);
        if (status) {
            return status;
        }
        if (value > (uint64_t)(w->stack[w->depth].end - w->at)) {
            return fail(w, "a field is longer than what is left");
        }
        return check_bytes(w, field, value);
    default:
        return fail(w, "a field has an unknown wire type");
    }
}

int onnx_check_wire(const ProtobufCMessageDescriptor *type, const void *bytes, size_t size,
                    struct sl_error *error)
{
    struct wire w = {.at = bytes, .start = bytes, .error = error};
    w.stack[0] = (struct message){type, w.start + size, 0};
    while (w.depth >= 0) {
        if (w.at == w.stack[w.depth].end) {
            w.depth--;
            continue;
        }
        int status = check_field(&w);
        if (status) {
            return status;
        }
    }
    return 0;
}
