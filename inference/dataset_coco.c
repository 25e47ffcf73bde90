// COCO's file of instances, read as a stream.
#include "inference/dataset_impl.h"

#include "inference/json_stream.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_PICTURES = 1000000, MOST_OBJECTS = 4000000, MOST_CATEGORIES = 4096 };

struct category {
    int64_t id;
    char *name;
};

struct instance {
    int64_t picture_id, category_id; // after reading, `category_id` is an index
    float x, y, width, height, area;
    uint32_t number; // in the file
    uint8_t crowd;
};

struct sl_coco {
    char *name;
    size_t n_pictures, picture_room, n_instances, instance_room, n_categories, category_room;
    struct coco_picture *pictures; // by id
    struct instance *instances;    // by picture, then as in the file
    struct category *categories;   // by id
};

// One member of an object that is wanted.
enum member_kind { MEMBER_ID, MEMBER_SIZE, MEMBER_AREA, MEMBER_FLAG, MEMBER_TEXT, MEMBER_BOX };
struct member {
    const char *key;
    enum member_kind kind;
    bool required;
    void *value; // int64_t, uint32_t, float, uint8_t, char *, float[4]
};

struct reader {
    struct json json;
    struct sl_coco *coco;
    const char *list; // the one being read, and the place in it
    uint32_t index;
    struct sl_error *error;
};

static int refuse(const struct reader *r, const char *key, const char *expected,
                  enum json_kind found)
{
    const struct json *j = &r->json;
    char what[128];
    if (found == JSON_NUMBER)
        snprintf(what, sizeof(what), "%.15g", j->number);
    else if (found == JSON_STRING)
        snprintf(what, sizeof(what), "'%.60s'", j->text);
    else
        snprintf(what, sizeof(what), "%s", json_kind_name(found));
    return sl_error_set(r->error, -EINVAL, "%s:%llu: %s[%u].%s: expected %s, found %s", j->name,
                        (unsigned long long)j->line, r->list, r->index, key, expected, what);
}

static int take_text(const struct reader *r, const struct member *m, enum json_kind kind)
{
    char **out = m->value;
    if (kind != JSON_STRING || r->json.cut || !*r->json.text)
        return refuse(r, m->key, "a text of 1 to 1023 bytes", kind);
    free(*out);
    *out = strdup(r->json.text);
    return *out ? 0 : sl_error_set(r->error, -ENOMEM, "out of memory");
}

static int take_box(struct reader *r, const struct member *m, enum json_kind kind)
{
    float *out = m->value;
    int status = 0;
    if (kind != JSON_ARRAY)
        return refuse(r, m->key, "[x, y, width, height]", kind);
    for (int i = 0; status == 0 && i < 4; i++) {
        status = json_next(&r->json, &kind, r->error);
        if (status == 0 &&
            (kind != JSON_NUMBER || fabs(r->json.number) > 1e6 || (i >= 2 && r->json.number < 0)))
            return refuse(r, m->key, i < 2 ? "a coordinate" : "a size of at least 0", kind);
        out[i] = (float)r->json.number;
    }
    if (status == 0)
        status = json_next(&r->json, &kind, r->error);
    if (status == 0 && kind != JSON_END)
        return refuse(r, m->key, "four numbers", kind);
    return status;
}

static int take_number(const struct reader *r, const struct member *m, enum json_kind kind)
{
    const double v = r->json.number;
    const bool number = kind == JSON_NUMBER, whole = number && v == floor(v);
    switch (m->kind) {
    case MEMBER_ID:
        if (!whole || fabs(v) > 9e15)
            return refuse(r, m->key, "a whole number", kind);
        *(int64_t *)m->value = (int64_t)v;
        return 0;
    case MEMBER_SIZE:
        if (!whole || v < 0 || v > 1e6)
            return refuse(r, m->key, "a size in pixels", kind);
        *(uint32_t *)m->value = (uint32_t)v;
        return 0;
    case MEMBER_AREA:
        if (!number || !(v >= 0 && v <= 1e12))
            return refuse(r, m->key, "an area of at least 0", kind);
        *(float *)m->value = (float)v;
        return 0;
    default:
        if ((!number && kind != JSON_BOOL) || (v != 0 && v != 1))
            return refuse(r, m->key, "0 or 1", kind);
        *(uint8_t *)m->value = v != 0;
        return 0;
    }
}

static int take_member(struct reader *r, const struct member *m)
{
    enum json_kind kind;
    const int status = json_next(&r->json, &kind, r->error);
    if (status < 0)
        return status;
    if (m->kind == MEMBER_TEXT)
        return take_text(r, m, kind);
    if (m->kind == MEMBER_BOX)
        return take_box(r, m, kind);
    return take_number(r, m, kind);
}

// An object of a list, whose start was read; other members are passed over.
static int read_members(struct reader *r, const struct member *members, size_t count)
{
    uint32_t seen = 0;
    enum json_kind kind;
    int status;
    while ((status = json_next(&r->json, &kind, r->error)) == 0 && kind == JSON_KEY) {
        size_t i = 0;
        while (i < count && strcmp(r->json.text, members[i].key) != 0)
            i++;
        if (i == count) {
            status = json_next(&r->json, &kind, r->error);
            if (status == 0)
                status = json_skip(&r->json, kind, r->error);
        } else {
            seen |= 1u << i;
            status = take_member(r, &members[i]);
        }
        if (status < 0)
            return status;
    }
    for (size_t i = 0; status == 0 && i < count; i++)
        if (members[i].required && !(seen >> i & 1))
            return sl_error_set(r->error, -EINVAL, "%s:%llu: %s[%u]: no '%s'", r->json.name,
                                (unsigned long long)r->json.line, r->list, r->index,
                                members[i].key);
    return status;
}

// Room for one more row, set to zeros.
static int add_row(const struct reader *r, void **rows, size_t *count, size_t *room, size_t most,
                   size_t each)
{
    if (*count == most)
        return sl_error_set(r->error, -E2BIG, "%s: more than %zu %s", r->json.name, most, r->list);
    if (*count == *room) {
        const size_t wanted = 2 * *room + 256;
        void *grown = realloc(*rows, wanted * each);
        if (!grown)
            return sl_error_set(r->error, -ENOMEM, "out of memory");
        *rows = grown;
        *room = wanted;
    }
    memset((char *)*rows + *count * each, 0, each);
    ++*count;
    return 0;
}

static int read_picture(struct reader *r)
{
    struct sl_coco *c = r->coco;
    const int status = add_row(r, (void **)&c->pictures, &c->n_pictures, &c->picture_room,
                               MOST_PICTURES, sizeof(*c->pictures));
    if (status < 0)
        return status;
    struct coco_picture *p = &c->pictures[c->n_pictures - 1];
    const struct member members[] = {{"id", MEMBER_ID, true, &p->id},
                                     {"file_name", MEMBER_TEXT, true, &p->file_name},
                                     {"width", MEMBER_SIZE, false, &p->width},
                                     {"height", MEMBER_SIZE, false, &p->height}};
    return read_members(r, members, 4);
}

static int read_category(struct reader *r)
{
    struct sl_coco *c = r->coco;
    const int status = add_row(r, (void **)&c->categories, &c->n_categories, &c->category_room,
                               MOST_CATEGORIES, sizeof(*c->categories));
    if (status < 0)
        return status;
    struct category *k = &c->categories[c->n_categories - 1];
    const struct member members[] = {{"id", MEMBER_ID, true, &k->id},
                                     {"name", MEMBER_TEXT, true, &k->name}};
    return read_members(r, members, 2);
}

static int read_instance(struct reader *r)
{
    struct sl_coco *c = r->coco;
    float box[4] = {0}, area = -1;
    int status = add_row(r, (void **)&c->instances, &c->n_instances, &c->instance_room,
                         MOST_OBJECTS, sizeof(*c->instances));
    if (status < 0)
        return status;
    struct instance *i = &c->instances[c->n_instances - 1];
    const struct member members[] = {{"image_id", MEMBER_ID, true, &i->picture_id},
                                     {"category_id", MEMBER_ID, true, &i->category_id},
                                     {"bbox", MEMBER_BOX, true, box},
                                     {"area", MEMBER_AREA, false, &area},
                                     {"iscrowd", MEMBER_FLAG, false, &i->crowd}};
    status = read_members(r, members, 5);
    i->x = box[0], i->y = box[1], i->width = box[2], i->height = box[3];
    i->area = area >= 0 ? area : box[2] * box[3];
    i->number = r->index;
    return status;
}

static int read_list(struct reader *r, int (*each)(struct reader *r))
{
    enum json_kind kind;
    int status = json_next(&r->json, &kind, r->error);
    if (status == 0 && kind != JSON_ARRAY)
        return sl_error_set(r->error, -EINVAL, "%s:%llu: %s: expected a list, found %s",
                            r->json.name, (unsigned long long)r->json.line, r->list,
                            json_kind_name(kind));
    for (r->index = 0; status == 0; r->index++) {
        status = json_next(&r->json, &kind, r->error);
        if (status < 0 || kind == JSON_END)
            break;
        if (kind != JSON_OBJECT)
            return sl_error_set(r->error, -EINVAL, "%s:%llu: %s[%u]: expected an object, found %s",
                                r->json.name, (unsigned long long)r->json.line, r->list, r->index,
                                json_kind_name(kind));
        status = each(r);
    }
    return status;
}

static int read_lists(struct reader *r)
{
    static const struct {
        const char *key;
        int (*each)(struct reader *r);
    } lists[] = {
        {"images", read_picture}, {"annotations", read_instance}, {"categories", read_category}};
    uint32_t seen = 0;
    enum json_kind kind;
    int status = json_next(&r->json, &kind, r->error);
    if (status == 0 && kind != JSON_OBJECT)
        return sl_error_set(r->error, -EINVAL,
                            "%s: expected an object with 'images', 'annotations' "
                            "and 'categories', found %s",
                            r->json.name, json_kind_name(kind));
    while (status == 0 && (status = json_next(&r->json, &kind, r->error)) == 0 &&
           kind == JSON_KEY) {
        size_t i = 0;
        while (i < 3 && strcmp(r->json.text, lists[i].key) != 0)
            i++;
        if (i < 3) {
            if (seen >> i & 1)
                return sl_error_set(r->error, -EINVAL, "%s:%llu: '%s' is there twice", r->json.name,
                                    (unsigned long long)r->json.line, lists[i].key);
            seen |= 1u << i;
            r->list = lists[i].key;
            status = read_list(r, lists[i].each);
        } else if ((status = json_next(&r->json, &kind, r->error)) == 0) {
            status = json_skip(&r->json, kind, r->error);
        }
    }
    for (size_t i = 0; status == 0 && i < 3; i++)
        if (!(seen >> i & 1))
            return sl_error_set(r->error, -EINVAL, "%s: no '%s': not a file of COCO instances",
                                r->json.name, lists[i].key);
    return status == 0 ? json_next(&r->json, &kind, r->error) : status;
}

static int by_id(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b; // the first member
    return x < y ? -1 : x > y;
}

static int by_picture(const void *a, const void *b)
{
    const struct instance *x = a, *y = b;
    if (x->picture_id != y->picture_id)
        return x->picture_id < y->picture_id ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

static int sort_ids(const struct sl_coco *c, void *rows, size_t count, size_t each,
                    const char *list, struct sl_error *error)
{
    if (count)
        qsort(rows, count, each, by_id);
    for (size_t i = 1; i < count; i++) {
        const int64_t *id = (const int64_t *)((char *)rows + i * each);
        if (by_id(id, (char *)rows + (i - 1) * each) == 0)
            return sl_error_set(error, -EINVAL, "%s: %s: id %lld is there twice", c->name, list,
                                (long long)*id);
    }
    return 0;
}

// Pictures and categories by id, and every instance with those it names.
static int link_instances(struct sl_coco *c, struct sl_error *error)
{
    int status = sort_ids(c, c->pictures, c->n_pictures, sizeof(*c->pictures), "images", error);
    if (status == 0)
        status = sort_ids(c, c->categories, c->n_categories, sizeof(*c->categories), "categories",
                          error);
    for (size_t i = 0; status == 0 && i < c->n_instances; i++) {
        struct instance *n = &c->instances[i];
        const struct category *k = c->n_categories
                                       ? bsearch(&n->category_id, c->categories, c->n_categories,
                                                 sizeof(*c->categories), by_id)
                                       : NULL;
        if (!c->n_pictures ||
            !bsearch(&n->picture_id, c->pictures, c->n_pictures, sizeof(*c->pictures), by_id))
            return sl_error_set(error, -EINVAL,
                                "%s: annotations[%zu].image_id: expected the id of one of the %zu "
                                "images, found %lld",
                                c->name, i, c->n_pictures, (long long)n->picture_id);
        if (!k)
            return sl_error_set(error, -EINVAL,
                                "%s: annotations[%zu].category_id: expected the id of one of the "
                                "%zu categories, found %lld",
                                c->name, i, c->n_categories, (long long)n->category_id);
        n->category_id = k - c->categories;
    }
    if (status == 0 && c->n_instances)
        qsort(c->instances, c->n_instances, sizeof(*c->instances), by_picture);
    return status;
}

int coco_read(const char *name, FILE *file, struct sl_coco **out, struct sl_error *error)
{
    struct sl_coco *c = calloc(1, sizeof(*c));
    struct reader r = {.coco = c, .error = error};
    if (!c || !(c->name = strdup(name))) {
        free(c);
        return sl_error_set(error, -ENOMEM, "out of memory");
    }
    json_begin(&r.json, name, file);
    int status = read_lists(&r);
    if (status == 0)
        status = link_instances(c, error);
    if (status < 0)
        coco_free(c);
    else
        *out = c;
    return status;
}

void coco_free(struct sl_coco *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->n_pictures; i++)
        free(c->pictures[i].file_name);
    for (size_t i = 0; i < c->n_categories; i++)
        free(c->categories[i].name);
    free(c->pictures);
    free(c->instances);
    free(c->categories);
    free(c->name);
    free(c);
}

uint32_t coco_pictures(const struct sl_coco *c, const struct coco_picture **out)
{
    *out = c->pictures;
    return (uint32_t)c->n_pictures;
}

// The first instance of a picture with this id or a greater one.
static size_t first_instance(const struct sl_coco *c, int64_t id)
{
    size_t low = 0, high = c->n_instances;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (c->instances[middle].picture_id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int coco_labels(const struct sl_coco *c, uint32_t picture, const struct label_context *context,
                struct sl_truth *out, struct sl_error *error)
{
    const struct coco_picture *p = &c->pictures[picture];
    if (p->width && p->height && (p->width != context->width || p->height != context->height))
        return sl_error_set(
            error, -EINVAL,
            "%s: image %lld ('%.100s'): expected a picture of %u x %u, found one of "
            "%u x %u",
            c->name, (long long)p->id, p->file_name, p->width, p->height, context->width,
            context->height);
    for (size_t i = first_instance(c, p->id);
         i < c->n_instances && c->instances[i].picture_id == p->id; i++) {
        const struct instance *n = &c->instances[i];
        const char *name = c->categories[n->category_id].name;
        const uint32_t class_id = class_of_name(context, name);
        if (class_id == context->n_classes)
            return sl_error_set(
                error, -EINVAL,
                "%s: annotations[%u]: expected one of the model's %u classes, found "
                "category '%.60s'",
                c->name, n->number, context->n_classes, name);
        if (out->count == MOST_LABELS)
            return sl_error_set(error, -E2BIG, "%s: more than %d objects on image %lld", c->name,
                                MOST_LABELS, (long long)p->id);
        out->rows[out->count++] =
            (struct sl_label){{n->x, n->y, n->x + n->width, n->y + n->height, 1, class_id},
                              n->crowd ? SL_LABEL_CROWD : SL_LABEL_COUNTS,
                              (double)n->area};
    }
    return 0;
}
