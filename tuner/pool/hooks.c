/* What TVM's code calls, and how a program sets it up.
 *
 * The three pointers are hidden, so that tvm-ffi doesn't find them: where a TVM is in the same process it would point
 * them at its own pool, which has threads of its own for each thread that calls.
 */
#include <pthread.h>
#include <stddef.h>
#include <tvm/ffi/c_api.h>
#include "pool.h"

static const Pool own = {run_parallel, allocate_scratch, release_scratch};
static const Pool *pool = &own;
static int threads = THREADS; /* what the kernels were tuned with */

/* An OpenMP runtime that is in the process, to compute on its threads; libgomp's interface, which others have too. */
static void (*parallel)(void (*)(void *), void *, unsigned, unsigned);
static int (*thread_number)(void), (*thread_count)(void);

typedef struct {
  Kernel kernel;
  void *data;
  TVMFFIObjectHandle error;
} Job;

/* OpenMP runtimes do not survive a fork; the pool does. */
static void forget_openmp(void) { parallel = NULL; }

static void compute(void *argument) {
  Job *job = argument;
  Group group = {NULL, thread_count()};
  if (job->kernel(thread_number(), &group, job->data) != 0) {
    TVMFFIObjectHandle raised = NULL, none = NULL;
    TVMFFIErrorMoveFromRaised(&raised);
    if (raised != NULL && !__atomic_compare_exchange_n(&job->error, &none, raised, 0, 5, 5)) TVMFFIObjectDecRef(raised);
  }
}

static int launch(Kernel kernel, void *data, int parts) {
  (void)parts; /* 0 in all code that is made: as many as there are threads */
  if (parallel == NULL) return pool->run(kernel, data, threads);
  Job job = {kernel, data, NULL};
  parallel(compute, &job, (unsigned)threads, 0);
  if (job.error == NULL) return 0;
  TVMFFIErrorSetRaised(job.error);
  TVMFFIObjectDecRef(job.error);
  return -1;
}

static void *allocate(int device, int number, uint64_t size, int code, int bits) {
  return pool->allocate(device, number, size, code, bits);
}

static int release(int device, int number, void *memory) { return pool->release(device, number, memory); }

HIDDEN int (*__TVMBackendParallelLaunch)(Kernel, void *, int) = launch;
HIDDEN void *(*__TVMBackendAllocWorkspace)(int, int, uint64_t, int, int) = allocate;
HIDDEN int (*__TVMBackendFreeWorkspace)(int, int, void *) = release;

/* headstart_pool(threads, pool, parallel, thread_number, thread_count) -> the pool that this library uses.
 *
 * threads: how many to use; pool: what another library returned, 0 for its own; the rest: functions of an OpenMP
 * runtime, 0 for the pool's threads. Addresses are integers.
 */
EXPORTED int __tvm_ffi_headstart_pool(void *self, const TVMFFIAny *given, int32_t count, TVMFFIAny *result) {
  (void)self;
  if (count != 5) {
    TVMFFIErrorSetRaisedFromCStr("TypeError", "headstart_pool takes 5 arguments");
    return -1;
  }
  if (given[2].v_int64 != 0 && parallel == NULL) pthread_atfork(NULL, NULL, forget_openmp);
  threads = (int)given[0].v_int64;
  if (given[1].v_int64 != 0) pool = (const Pool *)(intptr_t)given[1].v_int64;
  thread_number = (int (*)(void))(intptr_t)given[3].v_int64;
  thread_count = (int (*)(void))(intptr_t)given[4].v_int64;
  parallel = (void (*)(void (*)(void *), void *, unsigned, unsigned))(intptr_t)given[2].v_int64;
  result->type_index = kTVMFFIInt;
  result->v_int64 = (int64_t)(intptr_t)pool;
  return 0;
}
