// Networks for `sightline bench`: a model's folder, an .onnx file, or a folder of them.
#include "inference/bench.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_onnx(const char *path)
{
    const size_t length = strlen(path);
    return length > 5 && strcmp(path + length - 5, ".onnx") == 0;
}

static int open_file(const char *path, struct bench_network *out, struct sl_error *error)
{
    const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    const void *bytes;
    size_t size;
    int status = sl_model_source_directory(path, &out->source, error);
    if (status == 0)
        status = out->source->component(out->source, name, &bytes, &size, error);
    if (status == 0)
        status = sl_onnx_load(bytes, size, NULL, &out->onnx, error);
    if (status == 0)
        out->graph = sl_onnx_graph(out->onnx);
    return status;
}

int bench_network_open(const char *path, struct bench_network *out, struct sl_error *error)
{
    struct sl_model_source *source;
    if (is_onnx(path))
        return open_file(path, out, error);
    int status = sl_model_source_directory(path, &source, error);
    if (status == 0)
        status = sl_model_load(source, &out->model, error);
    if (status == 0)
        out->graph = out->model->graph;
    return status;
}

void bench_network_close(struct bench_network *network)
{
    sl_model_unref(network->model);
    sl_onnx_free(network->onnx);
    if (network->source)
        network->source->close(network->source);
}

static int add(struct bench_paths *paths, const char *folder, const char *name)
{
    char *text;
    char **room = realloc(paths->path, (paths->count + 1) * sizeof(*room));
    if (!room)
        return -ENOMEM;
    paths->path = room;
    const size_t length = strlen(folder);
    const char *slash = name && length > 0 && folder[length - 1] != '/' ? "/" : "";
    if (asprintf(&text, "%s%s%s", folder, slash, name ? name : "") < 0)
        return -ENOMEM;
    paths->path[paths->count++] = text;
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int add_folder(struct bench_paths *paths, const char *path, struct sl_error *error)
{
    int status = 0;
    DIR *folder = opendir(path);
    if (!folder)
        return sl_error_set(error, -errno, "%s", strerror(errno));
    for (struct dirent *entry; status == 0 && (entry = readdir(folder));)
        if (is_onnx(entry->d_name))
            status = add(paths, path, entry->d_name);
    closedir(folder);
    if (status == 0 && paths->count == 0)
        return sl_error_set(error, -ENOENT, "holds neither model.yaml nor an .onnx file");
    if (status == 0)
        qsort(paths->path, paths->count, sizeof(*paths->path), by_name);
    return status < 0 ? sl_error_set(error, status, "no memory") : 0;
}

static bool is_model_folder(const char *path)
{
    char *file;
    if (asprintf(&file, "%s/model.yaml", path) < 0)
        return false;
    const bool found = access(file, F_OK) == 0;
    free(file);
    return found;
}

int bench_paths_find(const char *path, struct bench_paths *out, struct sl_error *error)
{
    struct stat info;
    struct bench_paths found = {NULL, 0};
    int status;
    if (stat(path, &info) != 0)
        return sl_error_set(error, -errno, "%s", strerror(errno));
    if (S_ISDIR(info.st_mode) && !is_model_folder(path))
        status = add_folder(&found, path, error);
    else if ((status = add(&found, path, NULL)) < 0)
        sl_error_set(error, status, "no memory");
    if (status < 0)
        bench_paths_free(&found);
    else
        *out = found;
    return status;
}

void bench_paths_free(struct bench_paths *paths)
{
    for (uint32_t i = 0; i < paths->count; i++)
        free(paths->path[i]);
    free(paths->path);
    *paths = (struct bench_paths){NULL, 0};
}
