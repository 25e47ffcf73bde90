// Labels as Pascal VOC's XML.
#include "inference/dataset_impl.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <expat.h>

struct object {
    char name[256];
    double difficult, xmin, ymin, xmax, ymax;
};

struct reader {
    const struct label_context *context;
    XML_Parser parser;
    struct sl_truth *out;
    struct sl_error *error;
    int status;
    char path[256]; // of the element, "annotation/object/name"
    char text[256];
    size_t length;
    struct object object;
    double width, height;
};

__attribute__((format(printf, 3, 4))) static void refuse(struct reader *r, int status,
                                                         const char *format, ...)
{
    char what[256];
    va_list list;
    if (r->status < 0)
        return;
    va_start(list, format);
    vsnprintf(what, sizeof(what), format, list);
    va_end(list);
    r->status = sl_error_set(r->error, status, "%s:%lu: %s", r->context->file,
                             (unsigned long)XML_GetCurrentLineNumber(r->parser), what);
    XML_StopParser(r->parser, XML_FALSE);
}

static void XMLCALL on_doctype(void *ctx, const XML_Char *name, const XML_Char *system,
                               const XML_Char *public, int internal)
{
    (void)system;
    (void)public;
    (void)internal;
    refuse(ctx, -EINVAL, "expected no document type, found '%.60s'", name);
}

static void XMLCALL on_start(void *ctx, const XML_Char *name, const XML_Char **attributes)
{
    struct reader *r = ctx;
    const size_t used = strlen(r->path), more = strlen(name);
    (void)attributes;
    if (used == 0 && strcmp(name, "annotation") != 0) {
        refuse(r, -EINVAL, "expected <annotation>, found <%.60s>", name);
        return;
    }
    if (more + 2 > sizeof(r->path) - used) {
        refuse(r, -EINVAL, "elements lie too deep in each other");
        return;
    }
    sprintf(r->path + used, "%s%s", used ? "/" : "", name);
    r->length = 0;
    if (!strcmp(r->path, "annotation/object"))
        r->object = (struct object){"", 0, NAN, NAN, NAN, NAN};
}

static void XMLCALL on_text(void *ctx, const XML_Char *text, int length)
{
    struct reader *r = ctx;
    const size_t room = sizeof(r->text) - 1 - r->length;
    const size_t taken = (size_t)length < room ? (size_t)length : room;
    memcpy(r->text + r->length, text, taken);
    r->length += taken;
}

// The element's text without blanks around it.
static char *trimmed(struct reader *r)
{
    r->text[r->length] = '\0';
    char *text = r->text + strspn(r->text, " \t\r\n");
    size_t length = strlen(text);
    while (length > 0 && strchr(" \t\r\n", text[length - 1]))
        text[--length] = '\0';
    return text;
}

static void take_number(struct reader *r, double *out)
{
    char *end;
    const char *text = trimmed(r);
    *out = strtod(text, &end);
    if (end == text || *end || !(*out >= -1e6 && *out <= 1e6))
        refuse(r, -EINVAL, "<%s>: expected a number, found '%.60s'", r->path, text);
}

static void take_value(struct reader *r)
{
    const struct {
        const char *path;
        double *value;
    } numbers[] = {
        {"annotation/size/width", &r->width},
        {"annotation/size/height", &r->height},
        {"annotation/object/difficult", &r->object.difficult},
        {"annotation/object/bndbox/xmin", &r->object.xmin},
        {"annotation/object/bndbox/ymin", &r->object.ymin},
        {"annotation/object/bndbox/xmax", &r->object.xmax},
        {"annotation/object/bndbox/ymax", &r->object.ymax},
    };
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        if (!strcmp(r->path, numbers[i].path))
            take_number(r, numbers[i].value);
    if (!strcmp(r->path, "annotation/object/name"))
        snprintf(r->object.name, sizeof(r->object.name), "%s", trimmed(r));
}

static void end_object(struct reader *r)
{
    const struct object *o = &r->object;
    const uint32_t class_id = class_of_name(r->context, o->name);
    if (isnan(o->xmin + o->ymin + o->xmax + o->ymax)) {
        refuse(r, -EINVAL,
               "an object without <bndbox> or one of its <xmin>, <ymin>, <xmax>, <ymax>");
        return;
    }
    if (class_id == r->context->n_classes) {
        refuse(r, -EINVAL, "expected one of the model's %u classes in <name>, found '%.60s'",
               r->context->n_classes, o->name);
        return;
    }
    if (o->xmin > o->xmax || o->ymin > o->ymax) {
        refuse(r, -EINVAL, "expected xmin <= xmax and ymin <= ymax, found %g, %g, %g, %g", o->xmin,
               o->xmax, o->ymin, o->ymax);
        return;
    }
    if (r->out->count == MOST_LABELS) {
        refuse(r, -E2BIG, "more than %d objects", MOST_LABELS);
        return;
    }
    r->out->rows[r->out->count++] =
        (struct sl_label){.box = {(float)(o->xmin - 1), (float)(o->ymin - 1), (float)o->xmax,
                                  (float)o->ymax, 1, class_id},
                          .use = o->difficult != 0 ? SL_LABEL_IGNORED : SL_LABEL_COUNTS,
                          .area_px = (o->xmax - o->xmin + 1) * (o->ymax - o->ymin + 1)};
}

static void XMLCALL on_end(void *ctx, const XML_Char *name)
{
    struct reader *r = ctx;
    const struct label_context *c = r->context;
    (void)name;
    take_value(r);
    if (!strcmp(r->path, "annotation/object"))
        end_object(r);
    if (!strcmp(r->path, "annotation/size") && r->width > 0 && r->height > 0 &&
        (r->width != c->width || r->height != c->height))
        refuse(r, -EINVAL, "expected a picture of %g x %g, found one of %u x %u", r->width,
               r->height, c->width, c->height);
    char *slash = strrchr(r->path, '/');
    *(slash ? slash : r->path) = '\0';
    r->length = 0;
}

int labels_of_voc(const struct label_context *context, const char *bytes, size_t size,
                  struct sl_truth *out, struct sl_error *error)
{
    struct reader r = {.context = context, .out = out, .error = error};
    r.parser = XML_ParserCreate(NULL);
    if (!r.parser)
        return sl_error_set(error, -ENOMEM, "out of memory");
    XML_SetUserData(r.parser, &r);
    XML_SetElementHandler(r.parser, on_start, on_end);
    XML_SetCharacterDataHandler(r.parser, on_text);
    XML_SetStartDoctypeDeclHandler(r.parser, on_doctype);
    if (size > LABEL_LIMIT)
        r.status =
            sl_error_set(error, -EFBIG, "%s: larger than %d bytes", context->file, LABEL_LIMIT);
    else if (XML_Parse(r.parser, bytes, (int)size, XML_TRUE) != XML_STATUS_OK)
        refuse(&r, -EBADMSG, "not XML: %s", XML_ErrorString(XML_GetErrorCode(r.parser)));
    XML_ParserFree(r.parser);
    return r.status;
}
