// Writes a verdict as JSON into the caller's buffer.
#include "mqtt/verdict_json.h"

#include <math.h>
#include <string.h>

struct writer {
    char *out;
    size_t size, used;
    bool full, comma; // comma: one goes before the next member
};

static void put(struct writer *w, const char *bytes, size_t n)
{
    if (w->full || n >= w->size - w->used) {
        w->full = true;
        return;
    }
    memcpy(w->out + w->used, bytes, n);
    w->used += n;
}

static void put_text(struct writer *w, const char *text)
{
    put(w, text, strlen(text));
}

static void put_unsigned(struct writer *w, uint64_t value)
{
    char digits[20];
    size_t n = sizeof(digits);
    do {
        digits[--n] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    put(w, digits + n, sizeof(digits) - n);
}

static void put_signed(struct writer *w, int64_t value)
{
    if (value < 0) {
        put(w, "-", 1);
    }
    put_unsigned(w, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

// `decimals` digits after the point, trailing zeros left out.
static void put_fixed(struct writer *w, double value, unsigned decimals)
{
    if (!(fabs(value) < 1e9)) {
        put_text(w, "null");
        return;
    }
    uint64_t scale = 1;
    for (unsigned i = 0; i < decimals; i++) {
        scale *= 10;
    }
    uint64_t scaled = (uint64_t)llround(fabs(value) * (double)scale);
    if (value < 0 && scaled) {
        put(w, "-", 1);
    }
    put_unsigned(w, scaled / scale);
    uint64_t rest = scaled % scale;
    char digits[20] = ".";
    size_t n = 1;
    while (rest) {
        scale /= 10;
        digits[n++] = (char)('0' + rest / scale);
        rest %= scale;
    }
    if (n > 1) {
        put(w, digits, n);
    }
}

// Length of the UTF-8 sequence at `s`, or 0 if it is not one (RFC 3629).
static size_t utf8_length(const unsigned char *s, size_t left)
{
    unsigned char lead = s[0];
    if (lead < 0x80) {
        return 1;
    }
    size_t n = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    if (lead < 0xC2 || lead > 0xF4 || left < n) {
        return 0;
    }
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xC0) != 0x80) {
            return 0;
        }
    }
    bool overlong = (lead == 0xE0 && s[1] < 0xA0) || (lead == 0xF0 && s[1] < 0x90);
    bool beyond = (lead == 0xED && s[1] > 0x9F) || (lead == 0xF4 && s[1] > 0x8F);
    return overlong || beyond ? 0 : n;
}

static void put_character(struct writer *w, const unsigned char *s, size_t n)
{
    static const char hex[] = "0123456789abcdef";
    if (n == 0) {
        put_text(w, "\xEF\xBF\xBD");
    } else if (*s == '"' || *s == '\\') {
        put(w, (const char[]){'\\', (char)*s}, 2);
    } else if (*s < 0x20 || *s == 0x7F) {
        put(w, (const char[]){'\\', 'u', '0', '0', hex[*s >> 4], hex[*s & 15]}, 6);
    } else {
        put(w, (const char *)s, n);
    }
}

static void put_string(struct writer *w, const char *text, size_t capacity)
{
    const unsigned char *s = (const unsigned char *)text;
    size_t length = strnlen(text, capacity);
    put(w, "\"", 1);
    for (size_t i = 0; i < length;) {
        size_t n = utf8_length(s + i, length - i);
        put_character(w, s + i, n);
        i += n ? n : 1;
    }
    put(w, "\"", 1);
}

static void open_with(struct writer *w, const char *bracket)
{
    put_text(w, bracket);
    w->comma = false;
}

static void close_with(struct writer *w, const char *bracket)
{
    put_text(w, bracket);
    w->comma = true;
}

static void separate(struct writer *w)
{
    if (w->comma) {
        put(w, ",", 1);
    }
    w->comma = true;
}

static void key(struct writer *w, const char *name)
{
    separate(w);
    put(w, "\"", 1);
    put_text(w, name);
    put(w, "\":", 2);
}

#define STRING(w, name, array) (key(w, name), put_string(w, array, sizeof(array)))

static void number(struct writer *w, const char *name, uint64_t value)
{
    key(w, name);
    put_unsigned(w, value);
}

static void fixed(struct writer *w, const char *name, double value, unsigned decimals)
{
    key(w, name);
    put_fixed(w, value, decimals);
}

const char *sl_result_name(uint32_t result)
{
    static const char *const names[] = {"error", "ok", "ng", "error"};
    return names[result <= SL_RESULT_ERROR ? result : 0];
}

static const char *clock_name(uint32_t clock)
{
    static const char *const names[] = {"unsynced", "unsynced", "holdover", "synced"};
    return names[clock <= SL_CLOCK_SYNCED ? clock : 0];
}

static void put_identity(struct writer *w, const struct sl_verdict *v,
                         const struct sl_verdict_origin *origin)
{
    number(w, "schema", SL_VERDICT_SCHEMA);
    STRING(w, "camera", v->camera);
    STRING(w, "stream", origin->stream);
    number(w, "seq", v->seq);
    STRING(w, "part_id", v->part_id);
    key(w, "ts");
    put_signed(w, v->ts_utc_ms);
    key(w, "crop");
    if (v->crop[0]) {
        put_string(w, v->crop, sizeof(v->crop));
    } else {
        put_text(w, "null");
    }
}

static void put_defect(struct writer *w, const struct sl_verdict *v, const struct sl_defect *d)
{
    STRING(w, "class", d->class_name);
    fixed(w, "score", d->score, 4);
    const double box[4] = {d->x1, d->y1, d->x2, d->y2};
    key(w, "box");
    open_with(w, "[");
    for (size_t i = 0; i < 4; i++) {
        separate(w);
        put_fixed(w, box[i], 2);
    }
    close_with(w, "]");
    key(w, "box_relative"); // null where the picture's size is unknown: division by zero
    open_with(w, "[");
    for (size_t i = 0; i < 4; i++) {
        separate(w);
        put_fixed(w, box[i] / (i % 2 ? v->picture_height : v->picture_width), 6);
    }
    close_with(w, "]");
}

static void put_registration(struct writer *w, const struct sl_verdict *v)
{
    key(w, "registration");
    open_with(w, "{");
    key(w, "found");
    put_text(w, v->registered ? "true" : "false");
    fixed(w, "shift_x_px", v->shift_x_px, 3);
    fixed(w, "shift_y_px", v->shift_y_px, 3);
    fixed(w, "rotation_deg", v->rotation_deg, 4);
    fixed(w, "score", v->registration_score, 4);
    close_with(w, "}");
}

static void put_times(struct writer *w, const struct sl_verdict *v)
{
    fixed(w, "latency_ms", v->latency_ms, 3);
    key(w, "timing");
    open_with(w, "{");
    fixed(w, "decode_ms", v->decode_ms, 3);
    fixed(w, "registration_ms", v->registration_ms, 3);
    fixed(w, "inference_ms", v->inference_ms, 3);
    close_with(w, "}");
}

static void put_lists(struct writer *w, const struct sl_verdict *v)
{
    key(w, "reasons");
    open_with(w, "[");
    for (uint32_t i = 0; i < v->n_reasons && i < SL_VERDICT_MAX_REASONS; i++) {
        separate(w);
        put_string(w, v->reasons[i], sizeof(v->reasons[i]));
    }
    close_with(w, "]");
    number(w, "defects_total", v->defects_total);
    key(w, "defects");
    open_with(w, "[");
    for (uint32_t i = 0; i < v->n_defects && i < SL_VERDICT_MAX_DEFECTS; i++) {
        separate(w);
        open_with(w, "{");
        put_defect(w, v, &v->defects[i]);
        close_with(w, "}");
    }
    close_with(w, "]");
}

static void put_near(struct writer *w, const struct sl_verdict *v)
{
    fixed(w, "near_floor", v->near_floor, 4);
    key(w, "near");
    open_with(w, "[");
    for (uint32_t i = 0; i < v->n_near && i < SL_VERDICT_MAX_NEAR; i++) {
        separate(w);
        open_with(w, "{");
        STRING(w, "class", v->near[i].class_name);
        fixed(w, "score", v->near[i].score, 4);
        close_with(w, "}");
    }
    close_with(w, "]");
}

static void put_truth(struct writer *w, const struct sl_verdict *v)
{
    if (v->truth_defects < 0) {
        return;
    }
    key(w, "truth");
    open_with(w, "{");
    key(w, "defects");
    put_signed(w, v->truth_defects);
    key(w, "found");
    put_signed(w, v->truth_found);
    key(w, "false");
    put_signed(w, v->truth_false);
    close_with(w, "}");
}

static size_t finish(struct writer *w)
{
    if (w->full) {
        return 0;
    }
    w->out[w->used] = '\0';
    return w->used;
}

size_t sl_verdict_json(char *out, size_t size, const struct sl_verdict *v,
                       const struct sl_verdict_origin *origin)
{
    struct writer w = {.out = out, .size = size};
    open_with(&w, "{");
    put_identity(&w, v, origin);
    STRING(&w, "boot_id", origin->boot_id);
    key(&w, "ts_mono_ns");
    put_signed(&w, v->ts_mono_ns);
    key(&w, "clock");
    put(&w, "\"", 1);
    put_text(&w, clock_name(v->clock));
    put(&w, "\"", 1);
    STRING(&w, "job_id", v->job_id);
    STRING(&w, "recipe", v->recipe);
    STRING(&w, "model", v->model);
    STRING(&w, "backend", v->backend);
    key(&w, "result");
    put(&w, "\"", 1);
    put_text(&w, sl_result_name(v->result));
    put(&w, "\"", 1);
    number(&w, "frames", v->frames);
    put_times(&w, v);
    key(&w, "picture");
    open_with(&w, "{");
    number(&w, "width", v->picture_width);
    number(&w, "height", v->picture_height);
    close_with(&w, "}");
    put_registration(&w, v);
    put_lists(&w, v);
    put_near(&w, v);
    put_truth(&w, v);
    close_with(&w, "}");
    return finish(&w);
}

size_t sl_defect_json(char *out, size_t size, const struct sl_verdict *v,
                      const struct sl_verdict_origin *origin, uint32_t index)
{
    if (index >= v->n_defects || index >= SL_VERDICT_MAX_DEFECTS) {
        return 0;
    }
    struct writer w = {.out = out, .size = size};
    open_with(&w, "{");
    put_identity(&w, v, origin);
    number(&w, "index", index);
    put_defect(&w, v, &v->defects[index]);
    close_with(&w, "}");
    return finish(&w);
}
