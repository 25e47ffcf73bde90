// Finds OpenCL devices, opens one and builds the kernels for it.
#include "accel/opencl/device.h"

#include "accel/opencl/kernels.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_PLATFORMS 16
#define MAX_DEVICES   32
#define LOCAL_ITEMS   64

struct found {
    uint32_t count;
    cl_device devices[MAX_DEVICES];
};

// A driver that cannot list its devices does not hide the others'.
static int find_devices(const struct ocl_api *cl, struct found *found, struct sl_error *error)
{
    cl_platform platforms[MAX_PLATFORMS];
    uint32_t n_platforms = 0;
    found->count = 0;
    int32_t status = cl->platforms(MAX_PLATFORMS, platforms, &n_platforms);
    if (status == CL_PLATFORM_NOT_FOUND || (status == CL_SUCCESS && n_platforms == 0))
        return sl_error_set(error, -ENODEV,
                            "OpenCL: no driver is installed (Debian: pocl-opencl-icd, "
                            "mesa-opencl-icd, intel-opencl-icd or the vendor's)");
    if (status != CL_SUCCESS)
        return ocl_fail(error, status, "drivers");
    for (uint32_t i = 0; i < n_platforms && i < MAX_PLATFORMS; i++) {
        uint32_t more = 0;
        const uint32_t room = MAX_DEVICES - found->count;
        if (room == 0 || cl->devices(platforms[i], CL_DEVICE_TYPE_ALL, room,
                                     found->devices + found->count, &more) != CL_SUCCESS)
            continue;
        found->count += more < room ? more : room;
    }
    if (found->count == 0)
        return sl_error_set(error, -ENODEV, "OpenCL: the drivers have no device");
    return 0;
}

static const char *info_text(const struct ocl_api *cl, cl_device id, uint32_t what, char *text,
                             size_t size)
{
    memset(text, 0, size);
    if (cl->device_info(id, what, size - 1, text, NULL) != CL_SUCCESS)
        snprintf(text, size, "?");
    return text;
}

int ocl_probe(const struct sl_host *host, struct sl_device_info *devices, uint32_t *count,
              struct sl_error *error)
{
    const struct ocl_api *cl;
    struct found found;
    char name[128], version[128], driver[128];
    (void)host;
    int status = ocl_load(&cl, error);
    if (status == 0)
        status = find_devices(cl, &found, error);
    if (status)
        return status;
    for (uint32_t i = 0; i < found.count && i < *count; i++) {
        snprintf(devices[i].name, sizeof(devices[i].name), "%u", i);
        snprintf(devices[i].description, sizeof(devices[i].description),
                 "%.70s, %.60s, driver %.40s",
                 info_text(cl, found.devices[i], CL_DEVICE_NAME, name, sizeof(name)),
                 info_text(cl, found.devices[i], CL_DEVICE_VERSION, version, sizeof(version)),
                 info_text(cl, found.devices[i], CL_DRIVER_VERSION, driver, sizeof(driver)));
    }
    *count = found.count;
    return 0;
}

static int choose(struct ocl_device *device, const char *name, struct sl_error *error)
{
    struct found found;
    char text[128], *end;
    int status = find_devices(device->cl, &found, error);
    if (status)
        return status;
    const unsigned long number = strtoul(name, &end, 10);
    const bool is_number = *name >= '0' && *name <= '9' && !*end;
    for (uint32_t i = 0; i < found.count; i++)
        if (is_number ? number == i
                      : *name && strstr(info_text(device->cl, found.devices[i], CL_DEVICE_NAME,
                                                  text, sizeof(text)),
                                        name)) {
            device->id = found.devices[i];
            return 0;
        }
    return sl_error_set(error, -ENODEV,
                        "OpenCL: no device '%s', expected 0 to %u or a part of a device's name",
                        name, found.count - 1);
}

static int read_limits(struct ocl_device *device, struct sl_error *error)
{
    const struct ocl_api *cl = device->cl;
    uint32_t available = 0;
    uint64_t rounding = 0;
    size_t group = 0;
    int32_t status = cl->device_info(device->id, CL_DEVICE_AVAILABLE, 4, &available, NULL);
    if (status == CL_SUCCESS)
        status = cl->device_info(device->id, CL_DEVICE_SINGLE_FP_CONFIG, 8, &rounding, NULL);
    if (status == CL_SUCCESS)
        status =
            cl->device_info(device->id, CL_DEVICE_MAX_WORK_GROUP_SIZE, sizeof(group), &group, NULL);
    if (status == CL_SUCCESS)
        status =
            cl->device_info(device->id, CL_DEVICE_MAX_MEM_ALLOC_SIZE, 8, &device->max_buffer, NULL);
    if (status == CL_SUCCESS)
        status = cl->device_info(device->id, CL_DEVICE_GLOBAL_MEM_SIZE, 8, &device->memory, NULL);
    if (status != CL_SUCCESS)
        return ocl_fail(error, status, "properties of the device");
    if (!available)
        return ocl_fail(error, CL_DEVICE_NOT_AVAILABLE, "device");
    if (!(rounding & CL_FP_ROUND_TO_NEAREST))
        return sl_error_set(error, -ENOTSUP,
                            "OpenCL: the device does not round to nearest, which results need");
    device->group = group < LOCAL_ITEMS ? (group ? group : 1) : LOCAL_ITEMS;
    return 0;
}

int ocl_device_open(struct ocl_device *device, const char *name, struct sl_error *error)
{
    int32_t why = CL_SUCCESS;
    int status = ocl_load(&device->cl, error);
    if (status == 0)
        status = choose(device, name, error);
    if (status == 0)
        status = read_limits(device, error);
    if (status)
        return status;
    device->context = device->cl->create_context(NULL, 1, &device->id, NULL, NULL, &why);
    if (!device->context)
        return ocl_fail(error, why, "context");
    device->queue = device->cl->create_queue(device->context, device->id, 0, &why);
    return device->queue ? 0 : ocl_fail(error, why, "queue");
}

static int say_build_log(const struct ocl_device *device, int32_t why, struct sl_error *error)
{
    char log[400] = "";
    size_t needed = 0;
    char *all = NULL;
    if (device->cl->build_info(device->kernels, device->id, CL_PROGRAM_BUILD_LOG, 0, NULL,
                               &needed) == CL_SUCCESS &&
        needed > 0 && (all = calloc(1, needed + 1)) &&
        device->cl->build_info(device->kernels, device->id, CL_PROGRAM_BUILD_LOG, needed, all,
                               NULL) == CL_SUCCESS)
        snprintf(log, sizeof(log), "%s", all);
    free(all);
    const int status = ocl_fail(error, why, "kernels");
    return *log ? sl_error_set(error, status, "kernels: OpenCL (%d): %s", why, log) : status;
}

int ocl_device_build(struct ocl_device *device, const char *text, struct sl_error *error)
{
    const char *texts[] = {text ? text : "", ocl_source_common,    "#define REAL 0\n",
                           ocl_source_conv,  "#define REAL 1\n",   ocl_source_conv,
                           ocl_source_pool,  ocl_source_pointwise, ocl_source_move};
    int32_t why = CL_SUCCESS;
    cl_program kernels = device->cl->create_program(device->context, sizeof(texts) / sizeof(*texts),
                                                    texts, NULL, &why);
    if (!kernels)
        return ocl_fail(error, why, "kernels");
    if (device->kernels)
        device->cl->release_program(device->kernels);
    device->kernels = kernels;
    why = device->cl->build(kernels, 1, &device->id, "-cl-std=CL1.2", NULL, NULL);
    return why == CL_SUCCESS ? 0 : say_build_log(device, why, error);
}

void ocl_device_close(struct ocl_device *device)
{
    if (device->kernels)
        device->cl->release_program(device->kernels);
    if (device->queue)
        device->cl->release_queue(device->queue);
    if (device->context)
        device->cl->release_context(device->context);
}
