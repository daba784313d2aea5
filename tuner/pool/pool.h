/* Threads and scratch memory for the kernels of a bundle, compiled into its library.
 *
 * There is one pool a process: that of the first library that is loaded, whose functions the later ones are given.
 */
#pragma once
#include <stdint.h>

#define HIDDEN __attribute__((visibility("hidden")))
#define EXPORTED __attribute__((visibility("default")))
#define CACHE_LINE 64

/* What TVM's code passes and expects: its `TVMParallelGroupEnv` and `FTVMParallelLambda`. */
typedef struct {
  void *sync;
  int32_t parts;
} Group;
typedef int (*Kernel)(int part, Group *group, void *data);

typedef struct {
  int (*run)(Kernel kernel, void *data, int threads);
  void *(*allocate)(int device, int number, uint64_t size, int code, int bits);
  int (*release)(int device, int number, void *memory);
} Pool;

/* Compute a kernel in as many parts as there are threads to be had, at most `threads`; 0, or -1 with an error raised. */
HIDDEN int run_parallel(Kernel kernel, void *data, int threads);

/* Memory for one call, at a cache line; NULL with an error raised where there is none. */
HIDDEN void *allocate_scratch(int device, int number, uint64_t size, int code, int bits);
HIDDEN int release_scratch(int device, int number, void *memory);

/* Keep this library in the process, whatever becomes of the bundle: threads have its code to run. */
HIDDEN void stay_loaded(void);
