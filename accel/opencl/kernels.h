// The texts of the .cl files, put into the program at build time.
#ifndef SL_ACCEL_OPENCL_KERNELS_H
#define SL_ACCEL_OPENCL_KERNELS_H

extern const char ocl_source_common[];
extern const char ocl_source_conv[]; // wants REAL to be 0 or 1
extern const char ocl_source_pool[];
extern const char ocl_source_pointwise[];
extern const char ocl_source_move[];

#endif
