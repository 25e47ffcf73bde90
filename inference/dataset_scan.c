// What lies in a folder of labelled pictures, layout by layout.
#include "inference/dataset_impl.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

__attribute__((format(printf, 1, 2))) static char *format_path(const char *format, ...)
{
    char *out = NULL;
    va_list list;
    va_start(list, format);
    if (vasprintf(&out, format, list) < 0)
        out = NULL;
    va_end(list);
    return out;
}

// The path if there is such a file, else NULL. Takes the path over.
static char *if_there(char *path)
{
    if (path && access(path, R_OK) == 0)
        return path;
    free(path);
    return NULL;
}

// Takes the paths over.
static int add_sample(struct sl_dataset *out, const char *name, size_t length, char *picture,
                      char *reference, char *labels)
{
    struct sl_sample *grown = out->samples;
    if ((out->count & (out->count + 1)) == 0) // at 0, 1, 3, 7 …: double the room
        grown = realloc(out->samples, (2 * (size_t)out->count + 2) * sizeof(*grown));
    if (grown)
        out->samples = grown;
    char *copy = strndup(name, length);
    if (!grown || !copy || !picture) {
        free(copy);
        free(picture);
        free(reference);
        free(labels);
        return -ENOMEM;
    }
    out->samples[out->count++] = (struct sl_sample){copy, picture, reference, labels, 0};
    return 0;
}

// Where the name's ending begins if it is one of those, else NULL.
static const char *ending(const char *name, const char *const *ends)
{
    for (; *ends; ends++) {
        const size_t n = strlen(name), m = strlen(*ends);
        if (n > m && name[0] != '.' && !strcasecmp(name + n - m, *ends))
            return name + n - m;
    }
    return NULL;
}

static const char *const jpeg_ends[] = {".jpg", ".jpeg", NULL};

typedef int (*file_adder)(const char *root, const char *name, size_t stem, struct sl_dataset *out);

// Calls `add` with every file of a folder that ends so; a folder that is not there has none.
static int each_file(const char *root, const char *sub, const char *const *ends, file_adder add,
                     struct sl_dataset *out)
{
    char *path = format_path("%s/%s", root, sub);
    DIR *dir = path ? opendir(path) : NULL;
    const struct dirent *entry;
    int status = path ? 0 : -ENOMEM;
    while (dir && status == 0 && (entry = readdir(dir))) {
        const char *end = ending(entry->d_name, ends);
        if (end)
            status = add(root, entry->d_name, (size_t)(end - entry->d_name), out);
    }
    if (dir)
        closedir(dir);
    free(path);
    return status;
}

static int add_deeppcb(const char *root, const char *name, size_t stem, struct sl_dataset *out)
{
    return add_sample(out, name, stem, format_path("%s/%s", root, name),
                      if_there(format_path("%s/%.*s_temp.jpg", root, (int)stem, name)),
                      if_there(format_path("%s/%.*s.txt", root, (int)stem, name)));
}

int scan_deeppcb(const char *path, struct sl_dataset *out, struct sl_error *error)
{
    static const char *const ends[] = {"_test.jpg", NULL};
    (void)error;
    return each_file(path, ".", ends, add_deeppcb, out);
}

static int add_yolo(const char *root, const char *name, size_t stem, struct sl_dataset *out)
{
    return add_sample(out, name, stem, format_path("%s/images/%s", root, name), NULL,
                      if_there(format_path("%s/labels/%.*s.txt", root, (int)stem, name)));
}

int scan_yolo(const char *path, struct sl_dataset *out, struct sl_error *error)
{
    (void)error;
    return each_file(path, "images", jpeg_ends, add_yolo, out);
}

// The labels say which pictures there are; one that is missing is found when it is read.
static int add_voc(const char *root, const char *name, size_t stem, struct sl_dataset *out)
{
    char *picture = if_there(format_path("%s/JPEGImages/%.*s.jpeg", root, (int)stem, name));
    if (!picture)
        picture = format_path("%s/JPEGImages/%.*s.jpg", root, (int)stem, name);
    return add_sample(out, name, stem, picture, NULL, format_path("%s/Annotations/%s", root, name));
}

static int add_beside(const char *root, const char *name, size_t stem, struct sl_dataset *out)
{
    char *labels = if_there(format_path("%s/%.*s.xml", root, (int)stem, name));
    return labels ? add_sample(out, name, stem, format_path("%s/%s", root, name), NULL, labels) : 0;
}

int scan_voc(const char *path, struct sl_dataset *out, struct sl_error *error)
{
    static const char *const ends[] = {".xml", NULL};
    (void)error;
    const int status = each_file(path, "Annotations", ends, add_voc, out);
    return status == 0 && out->count == 0 ? each_file(path, ".", jpeg_ends, add_beside, out)
                                          : status;
}

static int add_json(const char *root, const char *name, size_t stem, struct sl_dataset *out)
{
    return add_sample(out, name, stem, format_path("%s/%s", root, name), NULL, NULL);
}

// Other files of JSON may lie beside it: captions, results.
static int add_instances(const char *root, const char *name, size_t stem, struct sl_dataset *out)
{
    static const char *const words[] = {"instances", "annotations", "coco"};
    bool known = false;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        known |= strcasestr(name, words[i]) != NULL;
    return known ? add_json(root, name, stem, out) : 0;
}

// The only .json file of a folder that `add` takes; *out NULL: there is none.
static int only_json(const char *root, const char *sub, file_adder add, char **out,
                     struct sl_error *error)
{
    static const char *const ends[] = {".json", NULL};
    struct sl_dataset found = {0};
    char *folder = format_path("%s/%s", root, sub);
    int status = folder ? each_file(folder, ".", ends, add, &found) : -ENOMEM;
    if (status == 0 && found.count > 1)
        status = sl_error_set(error, -EINVAL,
                              "%s: %u files of annotations, among them '%.80s' and '%.80s': give "
                              "the path of one as the dataset",
                              folder, found.count, found.samples[0].name, found.samples[1].name);
    if (status == 0 && found.count == 1) {
        *out = found.samples[0].picture;
        found.samples[0].picture = NULL;
    }
    sl_dataset_close(&found);
    free(folder);
    return status;
}

static int find_instances(const char *path, char **out, struct sl_error *error)
{
    struct stat info;
    if (stat(path, &info) == 0 && S_ISREG(info.st_mode)) {
        *out = strdup(path);
        return *out ? 0 : -ENOMEM;
    }
    int status = only_json(path, "annotations", add_instances, out, error);
    if (status == 0 && !*out)
        status = only_json(path, "annotations", add_json, out, error);
    return status == 0 && !*out ? only_json(path, ".", add_instances, out, error) : status;
}

// A name that stays below the folder it is looked up in.
static bool stays_below(const char *name)
{
    if (*name == '/')
        return false;
    for (const char *part = name; part; part = strchr(part, '/')) {
        part += *part == '/';
        if (!strncmp(part, "..", 2) && (part[2] == '/' || part[2] == '\0'))
            return false;
    }
    return true;
}

// Where the pictures of a file of instances lie: the first of the usual places that has `name`.
static char *find_root(const char *json, const char *name)
{
    const char *slash = strrchr(json, '/'), *base = slash ? slash + 1 : json;
    char *folder = slash ? strndup(json, (size_t)(slash - json + 1)) : strdup("");
    const char *dot = strrchr(base, '.'), *split = strrchr(base, '_');
    split = split ? split + 1 : base;
    const int length = dot && dot > split ? (int)(dot - split) : 0;
    char *places[] = {format_path("%s", folder),
                      format_path("%simages/", folder),
                      format_path("%s../", folder),
                      format_path("%s../images/", folder),
                      format_path("%s%.*s/", folder, length, split),
                      format_path("%s../%.*s/", folder, length, split),
                      format_path("%s../images/%.*s/", folder, length, split)};
    char *found = NULL;
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        char *there = places[i] && !found ? if_there(format_path("%s%s", places[i], name)) : NULL;
        if (there)
            found = places[i];
        else
            free(places[i]);
        free(there);
    }
    free(folder);
    return found;
}

static int add_coco(struct sl_dataset *out, const char *json, struct sl_error *error)
{
    const struct coco_picture *pictures;
    const uint32_t count = coco_pictures(out->coco, &pictures);
    for (uint32_t i = 0; i < count; i++)
        if (!stays_below(pictures[i].file_name))
            return sl_error_set(error, -EINVAL,
                                "%s: image %lld: file_name: expected a path below the dataset, "
                                "found '%.100s'",
                                json, (long long)pictures[i].id, pictures[i].file_name);
    char *root = count ? find_root(json, pictures[0].file_name) : NULL;
    if (!root)
        return sl_error_set(error, -ENOENT,
                            "%s: picture '%.100s' is neither beside it nor in images/ or a folder "
                            "of the split's name, there or one level up",
                            json, count ? pictures[0].file_name : "");
    int status = 0;
    for (uint32_t i = 0; status == 0 && i < count; i++) {
        const char *name = pictures[i].file_name;
        status = add_sample(out, name, strlen(name), format_path("%s%s", root, name), NULL, NULL);
        if (status == 0)
            out->samples[i].id = i;
    }
    free(root);
    return status;
}

int scan_coco(const char *path, struct sl_dataset *out, struct sl_error *error)
{
    char *json = NULL;
    int status = find_instances(path, &json, error);
    if (status < 0 || !json)
        return status;
    FILE *file = fopen(json, "re");
    if (!file)
        status = sl_error_set(error, -errno, "%s: %s", json, strerror(errno));
    else
        status = coco_read(json, file, &out->coco, error);
    if (file)
        fclose(file);
    if (status == 0)
        status = add_coco(out, json, error);
    free(json);
    return status;
}
