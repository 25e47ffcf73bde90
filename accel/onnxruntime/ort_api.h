// The members of ONNX Runtime's C API that are used here, in words of our own.
//
// The library exports one symbol, which leads to a table of function pointers. The table is
// append-only: a member's place never changes once a version has shipped with it, so places are
// enough to call it. They were taken from the order in onnxruntime_c_api.cc, "ort_api_1_to_…"; the
// last one used belongs to version 12 of the table, which every later library still gives out.
#ifndef SL_ACCEL_ONNXRUNTIME_ORT_API_H
#define SL_ACCEL_ONNXRUNTIME_ORT_API_H

#include <stddef.h>
#include <stdint.h>

enum { ORT_TABLE_VERSION = 12, ORT_TABLE_MEMBERS = 219 };

struct ort_table {
    void (*member[ORT_TABLE_MEMBERS])(void);
};
struct ort_base {
    const struct ort_table *(*table)(uint32_t version); // NULL: the version is not known
    const char *(*version)(void);
};
typedef const struct ort_base *(*ort_entry_point)(void);
#define ORT_SYMBOL "OrtGetApiBase"

// Opaque objects of the library.
struct ort_status;
struct ort_env;
struct ort_native_session;
struct ort_native_options;
struct ort_run_options;
struct ort_value;
struct ort_memory_info;
struct ort_type_info;
struct ort_tensor_info;
struct ort_allocator;

enum { ORT_LOG_ERROR = 3, ORT_LOG_FATAL = 4 };
enum { ORT_OPTIMISE_ALL = 99 };
enum { ORT_ALLOCATOR_DEVICE = 0 };
enum { ORT_MEMORY_DEFAULT = 0 };
enum {
    ORT_FLOAT = 1,
    ORT_UINT8 = 2,
    ORT_INT8 = 3,
    ORT_INT32 = 6,
    ORT_INT64 = 7,
    ORT_BOOL = 9,
};

// F(place, result, name, arguments)
#define ORT_FUNCTIONS(F)                                                                           \
    F(2, const char *, message, (const struct ort_status *))                                       \
    F(3, struct ort_status *, create_env, (int severity, const char *id, struct ort_env **))       \
    F(8, struct ort_status *, create_session,                                                      \
      (const struct ort_env *, const void *model, size_t bytes, const struct ort_native_options *, \
       struct ort_native_session **))                                                              \
    F(9, struct ort_status *, run,                                                                 \
      (struct ort_native_session *, const struct ort_run_options *, const char *const *in_names,   \
       const struct ort_value *const *in, size_t n_in, const char *const *out_names, size_t n_out, \
       struct ort_value **out))                                                                    \
    F(10, struct ort_status *, create_options, (struct ort_native_options **))                     \
    F(14, struct ort_status *, enable_profile, (struct ort_native_options *, const char *prefix))  \
    F(22, struct ort_status *, set_severity, (struct ort_native_options *, int))                   \
    F(23, struct ort_status *, set_optimisation, (struct ort_native_options *, int))               \
    F(24, struct ort_status *, set_threads, (struct ort_native_options *, int))                    \
    F(25, struct ort_status *, set_inter_threads, (struct ort_native_options *, int))              \
    F(30, struct ort_status *, input_count, (const struct ort_native_session *, size_t *))         \
    F(31, struct ort_status *, output_count, (const struct ort_native_session *, size_t *))        \
    F(33, struct ort_status *, input_type,                                                         \
      (const struct ort_native_session *, size_t, struct ort_type_info **))                        \
    F(34, struct ort_status *, output_type,                                                        \
      (const struct ort_native_session *, size_t, struct ort_type_info **))                        \
    F(36, struct ort_status *, input_name,                                                         \
      (const struct ort_native_session *, size_t, struct ort_allocator *, char **))                \
    F(37, struct ort_status *, output_name,                                                        \
      (const struct ort_native_session *, size_t, struct ort_allocator *, char **))                \
    F(49, struct ort_status *, create_tensor,                                                      \
      (const struct ort_memory_info *, void *data, size_t bytes, const int64_t *dims, size_t rank, \
       int type, struct ort_value **))                                                             \
    F(55, struct ort_status *, tensor_info,                                                        \
      (const struct ort_type_info *, const struct ort_tensor_info **))                             \
    F(60, struct ort_status *, element_type, (const struct ort_tensor_info *, int *))              \
    F(61, struct ort_status *, rank, (const struct ort_tensor_info *, size_t *))                   \
    F(62, struct ort_status *, dims, (const struct ort_tensor_info *, int64_t *, size_t))          \
    F(69, struct ort_status *, create_cpu_memory,                                                  \
      (int allocator, int memory, struct ort_memory_info **))                                      \
    F(76, struct ort_status *, allocator_free, (struct ort_allocator *, void *))                   \
    F(78, struct ort_status *, default_allocator, (struct ort_allocator **))                       \
    F(92, void, release_env, (struct ort_env *))                                                   \
    F(93, void, release_status, (struct ort_status *))                                             \
    F(94, void, release_memory, (struct ort_memory_info *))                                        \
    F(95, void, release_session, (struct ort_native_session *))                                    \
    F(96, void, release_value, (struct ort_value *))                                               \
    F(98, void, release_type, (struct ort_type_info *))                                            \
    F(100, void, release_options, (struct ort_native_options *))                                   \
    F(125, struct ort_status *, providers, (char ***names, int *count))                            \
    F(126, struct ort_status *, release_providers, (char **names, int count))                      \
    F(130, struct ort_status *, set_config,                                                        \
      (struct ort_native_options *, const char *key, const char *value))                           \
    F(216, struct ort_status *, append_provider,                                                   \
      (struct ort_native_options *, const char *name, const char *const *keys,                     \
       const char *const *values, size_t count))

struct ort_functions {
#define ORT_MEMBER(place, result, name, arguments) result(*name) arguments;
    ORT_FUNCTIONS(ORT_MEMBER)
#undef ORT_MEMBER
};

struct ort {
    void *library;
    struct ort_functions call;
    struct ort_env *env;
    struct ort_memory_info *memory;
    const char *version;
    char **providers;
    int n_providers;
};

struct sl_error;
// Gives `status` back to the library; 0, or -EINVAL with its message behind `doing`.
int ort_check(const struct ort *ort, struct ort_status *status, struct sl_error *error,
              const char *doing);

#endif
