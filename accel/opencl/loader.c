// Loads OpenCL's library and looks its functions up; names its errors.
#include "accel/opencl/loader.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define LIBRARY "libOpenCL.so.1"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct ocl_api loaded;
static int is_loaded;
static const struct ocl_api *substitute;

// dlsym gives an address of data where POSIX says that it may be called.
static const char *look_up(void *library, const char *symbol, void *member, size_t size)
{
    void *address = dlsym(library, symbol);
    memcpy(member, &address, size);
    return address ? NULL : symbol;
}

static int fill(void *library, struct ocl_api *api, struct sl_error *error)
{
    const char *missing = NULL;
#define LOOK_UP(name, symbol)                                                                      \
    if (!missing)                                                                                  \
        missing = look_up(library, "cl" #symbol, &api->name, sizeof(api->name));
#define STATUS(name, symbol, parameters, arguments)       LOOK_UP(name, symbol)
#define OBJECT(type, name, symbol, parameters, arguments) LOOK_UP(name, symbol)
#define RELEASE(type, name, symbol)                       LOOK_UP(name, symbol)
    OCL_STATUS_FUNCTIONS(STATUS)
    OCL_OBJECT_FUNCTIONS(OBJECT)
    OCL_RELEASE_FUNCTIONS(RELEASE)
    return missing ? sl_error_set(error, -EINVAL, "OpenCL 1.2: the library has no %s", missing) : 0;
}

static int load(struct sl_error *error)
{
    const char *named = getenv("SIGHTLINE_OPENCL");
    void *library = dlopen(named && *named ? named : LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return sl_error_set(error, -ENOENT,
                            "OpenCL is not installed: %s (Debian: ocl-icd-libopencl1 and a driver; "
                            "SIGHTLINE_OPENCL=FILE names another library)",
                            dlerror());
    struct ocl_api api;
    const int status = fill(library, &api, error);
    if (status) {
        dlclose(library);
        return status;
    }
    loaded = api;
    is_loaded = 1;
    return 0;
}

int ocl_load(const struct ocl_api **out, struct sl_error *error)
{
    int status = 0;
    pthread_mutex_lock(&lock);
    if (!substitute && !is_loaded)
        status = load(error);
    if (status == 0)
        *out = substitute ? substitute : &loaded;
    pthread_mutex_unlock(&lock);
    return status;
}

void ocl_substitute(const struct ocl_api *api)
{
    pthread_mutex_lock(&lock);
    substitute = api;
    pthread_mutex_unlock(&lock);
}

static const struct {
    int32_t status;
    int error;
    const char *name;
} statuses[] = {
    {CL_DEVICE_NOT_FOUND, -ENODEV, "no device"},
    {CL_DEVICE_NOT_AVAILABLE, -ENODEV, "the device is not available"},
    {CL_MEM_OBJECT_ALLOCATION_FAILURE, -ENOMEM, "no memory on the device"},
    {CL_OUT_OF_RESOURCES, -ENODEV, "out of resources, or the device is gone"},
    {CL_OUT_OF_HOST_MEMORY, -ENOMEM, "no memory on the host"},
    {-11, -EIO, "the kernels do not compile"},
    {-14, -ENODEV, "a command failed on the device"},
    {-34, -ENODEV, "the context is not valid"},
    {-36, -ENODEV, "the queue is not valid"},
    {-54, -EIO, "the work-group size is not valid"},
    {-61, -ENOMEM, "a buffer of that size is not possible"},
    {CL_PLATFORM_NOT_FOUND, -ENODEV, "no driver is installed"},
};

int ocl_fail(struct sl_error *error, int32_t status, const char *doing)
{
    for (size_t i = 0; i < sizeof(statuses) / sizeof(*statuses); i++)
        if (statuses[i].status == status)
            return sl_error_set(error, statuses[i].error, "%s: OpenCL: %s (%d)", doing,
                                statuses[i].name, status);
    return sl_error_set(error, -EIO, "%s: OpenCL: status %d", doing, status);
}
