// The part of OpenCL 1.2 that the back end uses, declared here so that neither building nor
// starting the program needs OpenCL. Numbers and signatures are those of the Khronos specification.
#ifndef SL_ACCEL_OPENCL_CL_API_H
#define SL_ACCEL_OPENCL_CL_API_H

#include <stddef.h>
#include <stdint.h>

typedef struct cl_platform *cl_platform;
typedef struct cl_device *cl_device;
typedef struct cl_context *cl_context;
typedef struct cl_queue *cl_queue;
typedef struct cl_memory *cl_memory;
typedef struct cl_program *cl_program;
typedef struct cl_kernel *cl_kernel;
typedef struct cl_event *cl_event;
typedef void (*cl_event_done)(cl_event event, int32_t status, void *ctx);
typedef void (*cl_context_notify)(const char *text, const void *data, size_t size, void *ctx);
typedef void (*cl_build_done)(cl_program program, void *ctx);

enum {
    CL_SUCCESS = 0,
    CL_DEVICE_NOT_FOUND = -1,
    CL_DEVICE_NOT_AVAILABLE = -2,
    CL_MEM_OBJECT_ALLOCATION_FAILURE = -4,
    CL_OUT_OF_RESOURCES = -5,
    CL_OUT_OF_HOST_MEMORY = -6,
    CL_PLATFORM_NOT_FOUND = -1001,

    CL_COMPLETE = 0,
    CL_TRUE = 1,

    CL_PLATFORM_NAME = 0x0902,
    CL_DEVICE_MAX_WORK_GROUP_SIZE = 0x1004,
    CL_DEVICE_MAX_MEM_ALLOC_SIZE = 0x1010,
    CL_DEVICE_SINGLE_FP_CONFIG = 0x101B,
    CL_DEVICE_GLOBAL_MEM_SIZE = 0x101F,
    CL_DEVICE_AVAILABLE = 0x1027,
    CL_DEVICE_NAME = 0x102B,
    CL_DRIVER_VERSION = 0x102D,
    CL_DEVICE_VERSION = 0x102F,
    CL_PROGRAM_BUILD_LOG = 0x1183,
    CL_KERNEL_WORK_GROUP_SIZE = 0x11B0,

    CL_FP_ROUND_TO_NEAREST = 1 << 2,
    CL_MEM_READ_WRITE = 1 << 0,
    CL_MEM_READ_ONLY = 1 << 2,
    CL_MEM_COPY_HOST_PTR = 1 << 5,
};
#define CL_DEVICE_TYPE_ALL 0xFFFFFFFFu

// Functions that return a status: X(member, symbol without "cl", parameters, arguments).
#define OCL_STATUS_FUNCTIONS(X)                                                                    \
    X(platforms, GetPlatformIDs, (uint32_t max, cl_platform * out, uint32_t * count),              \
      (max, out, count))                                                                           \
    X(platform_info, GetPlatformInfo,                                                              \
      (cl_platform platform, uint32_t what, size_t size, void *out, size_t *needed),               \
      (platform, what, size, out, needed))                                                         \
    X(devices, GetDeviceIDs,                                                                       \
      (cl_platform platform, uint64_t type, uint32_t max, cl_device * out, uint32_t * count),      \
      (platform, type, max, out, count))                                                           \
    X(device_info, GetDeviceInfo,                                                                  \
      (cl_device device, uint32_t what, size_t size, void *out, size_t *needed),                   \
      (device, what, size, out, needed))                                                           \
    X(build, BuildProgram,                                                                         \
      (cl_program program, uint32_t count, const cl_device *devices, const char *options,          \
       cl_build_done done, void *ctx),                                                             \
      (program, count, devices, options, done, ctx))                                               \
    X(build_info, GetProgramBuildInfo,                                                             \
      (cl_program program, cl_device device, uint32_t what, size_t size, void *out,                \
       size_t *needed),                                                                            \
      (program, device, what, size, out, needed))                                                  \
    X(kernel_info, GetKernelWorkGroupInfo,                                                         \
      (cl_kernel kernel, cl_device device, uint32_t what, size_t size, void *out, size_t *needed), \
      (kernel, device, what, size, out, needed))                                                   \
    X(set_arg, SetKernelArg, (cl_kernel kernel, uint32_t index, size_t size, const void *value),   \
      (kernel, index, size, value))                                                                \
    X(write, EnqueueWriteBuffer,                                                                   \
      (cl_queue queue, cl_memory memory, uint32_t blocking, size_t offset, size_t size,            \
       const void *from, uint32_t n_events, const cl_event *events, cl_event *event),              \
      (queue, memory, blocking, offset, size, from, n_events, events, event))                      \
    X(read, EnqueueReadBuffer,                                                                     \
      (cl_queue queue, cl_memory memory, uint32_t blocking, size_t offset, size_t size, void *to,  \
       uint32_t n_events, const cl_event *events, cl_event *event),                                \
      (queue, memory, blocking, offset, size, to, n_events, events, event))                        \
    X(run, EnqueueNDRangeKernel,                                                                   \
      (cl_queue queue, cl_kernel kernel, uint32_t dims, const size_t *offset,                      \
       const size_t *global, const size_t *local, uint32_t n_events, const cl_event *events,       \
       cl_event *event),                                                                           \
      (queue, kernel, dims, offset, global, local, n_events, events, event))                       \
    X(marker, EnqueueMarkerWithWaitList,                                                           \
      (cl_queue queue, uint32_t n_events, const cl_event *events, cl_event *event),                \
      (queue, n_events, events, event))                                                            \
    X(on_event, SetEventCallback, (cl_event event, int32_t status, cl_event_done done, void *ctx), \
      (event, status, done, ctx))                                                                  \
    X(flush, Flush, (cl_queue queue), (queue))

// Functions that return an object and write a status.
#define OCL_OBJECT_FUNCTIONS(X)                                                                    \
    X(cl_context, create_context, CreateContext,                                                   \
      (const intptr_t *properties, uint32_t count, const cl_device *devices,                       \
       cl_context_notify notify, void *ctx, int32_t *status),                                      \
      (properties, count, devices, notify, ctx, status))                                           \
    X(cl_queue, create_queue, CreateCommandQueue,                                                  \
      (cl_context context, cl_device device, uint64_t properties, int32_t * status),               \
      (context, device, properties, status))                                                       \
    X(cl_memory, create_buffer, CreateBuffer,                                                      \
      (cl_context context, uint64_t flags, size_t size, void *from, int32_t *status),              \
      (context, flags, size, from, status))                                                        \
    X(cl_program, create_program, CreateProgramWithSource,                                         \
      (cl_context context, uint32_t count, const char **texts, const size_t *lengths,              \
       int32_t *status),                                                                           \
      (context, count, texts, lengths, status))                                                    \
    X(cl_kernel, create_kernel, CreateKernel,                                                      \
      (cl_program program, const char *name, int32_t *status), (program, name, status))

// Functions that give something back; their status is of no use.
#define OCL_RELEASE_FUNCTIONS(X)                                                                   \
    X(cl_context, release_context, ReleaseContext)                                                 \
    X(cl_queue, release_queue, ReleaseCommandQueue)                                                \
    X(cl_memory, release_buffer, ReleaseMemObject)                                                 \
    X(cl_program, release_program, ReleaseProgram)                                                 \
    X(cl_kernel, release_kernel, ReleaseKernel)                                                    \
    X(cl_event, release_event, ReleaseEvent)

struct ocl_api {
#define OCL_MEMBER(name, symbol, parameters, arguments) int32_t(*name) parameters;
    OCL_STATUS_FUNCTIONS(OCL_MEMBER)
#undef OCL_MEMBER
#define OCL_MEMBER(type, name, symbol, parameters, arguments) type(*name) parameters;
    OCL_OBJECT_FUNCTIONS(OCL_MEMBER)
#undef OCL_MEMBER
#define OCL_MEMBER(type, name, symbol) int32_t (*name)(type object);
    OCL_RELEASE_FUNCTIONS(OCL_MEMBER)
#undef OCL_MEMBER
};

#endif
