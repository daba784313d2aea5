/* A stand-in for NVIDIA's driver, for tests of our own use of it: memory is the host's, a "cubin" is the name of one of
   the kernels below, and time passes by one millisecond an event. It computes nothing that a GPU would. With WITH_CUDA_H
   the functions are checked against the declarations of NVIDIA's header. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef WITH_CUDA_H
#include <cuda.h>
#else
#include <stddef.h>
typedef int CUresult, CUdevice, CUdevice_attribute, CUfunction_attribute, CUstreamCaptureMode;
typedef unsigned long long CUdeviceptr;
typedef void *CUcontext, *CUmodule, *CUfunction, *CUstream, *CUevent, *CUgraph, *CUgraphExec;
#define cuMemAlloc cuMemAlloc_v2
#define cuMemFree cuMemFree_v2
#define cuMemcpyHtoD cuMemcpyHtoD_v2
#define cuMemcpyDtoH cuMemcpyDtoH_v2
#define cuMemsetD8 cuMemsetD8_v2
#define cuStreamBeginCapture cuStreamBeginCapture_v2
#endif
#undef cuEventElapsedTime

/* What the test wants to have: FAKE_GPU is a name, FAKE_CAPABILITY 90, FAKE_MULTIPROCESSORS 132, FAKE_MEMORY bytes. */
static int number(const char *name, int otherwise) { return getenv(name) ? atoi(getenv(name)) : otherwise; }

static CUresult broken;          /* An error that stays, as after an illegal access. */
static int capturing, captured;  /* Launches that were recorded. */
static long taken;               /* Bytes. */
static float now;                /* Milliseconds. */

static void note(const char *what) {
  const char *file = getenv("FAKE_LOG");
  FILE *log = file ? fopen(file, "a") : NULL;
  if (log) { fprintf(log, "%s\n", what); fclose(log); }
}

CUresult cuInit(unsigned flags) { return number("FAKE_COUNT", 1) ? number("FAKE_INIT", flags) : 100; }
CUresult cuDriverGetVersion(int *version) { *version = 13010; return 0; }
CUresult cuGetErrorString(CUresult code, const char **text) {
  *text = code == 700 ? "an illegal memory access was encountered" : code == 2 ? "out of memory" : "another error";
  return 0;
}
CUresult cuDeviceGetCount(int *count) { *count = number("FAKE_COUNT", 1); return 0; }
CUresult cuDeviceGet(CUdevice *device, int ordinal) { *device = ordinal; return ordinal < number("FAKE_COUNT", 1) ? 0 : 101; }
CUresult cuDeviceGetName(char *name, int length, CUdevice device) {
  snprintf(name, length, "%s", getenv("FAKE_GPU") ? getenv("FAKE_GPU") : "NVIDIA H100 80GB HBM3");
  return 0;
}
CUresult cuDeviceGetAttribute(int *value, CUdevice_attribute what, CUdevice device) {
  int capability = number("FAKE_CAPABILITY", 90);
  *value = what == 16 ? number("FAKE_MULTIPROCESSORS", 132) : what == 75 ? capability / 10 : capability % 10;
  return 0;
}
CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device) { *context = (CUcontext)&now; return 0; }
CUresult cuCtxSetCurrent(CUcontext context) { return context == (CUcontext)&now ? 0 : 201; }

CUresult cuMemAlloc(CUdeviceptr *address, size_t size) {
  if (taken + (long)size > number("FAKE_MEMORY", 1 << 30)) return 2;
  size_t *place = malloc(size + 256);
  place[0] = size;
  taken += size;
  *address = (CUdeviceptr)place + 256;
  return broken;
}
CUresult cuMemFree(CUdeviceptr address) {
  size_t *place = (size_t *)(address - 256);
  taken -= place[0];
  free(place);
  note("free");
  return broken;
}
CUresult cuMemcpyHtoD(CUdeviceptr to, const void *from, size_t size) {
  memcpy((void *)to, from, size);
  note("upload");
  return broken;
}
CUresult cuMemcpyDtoH(void *to, CUdeviceptr from, size_t size) { memcpy(to, (void *)from, size); return broken; }
CUresult cuMemsetD8(CUdeviceptr to, unsigned char value, size_t size) { memset((void *)to, value, size); return broken; }
CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t size, CUstream stream) {
  note("flush");
  return broken;
}

CUresult cuStreamCreate(CUstream *stream, unsigned flags) { *stream = (CUstream)&captured; return flags; }
CUresult cuEventCreate(CUevent *event, unsigned flags) { *event = (CUevent)malloc(sizeof(float)); return flags; }
CUresult cuEventRecord(CUevent event, CUstream stream) { *(float *)event = now; return stream == (CUstream)&captured ? broken : 400; }
CUresult cuEventSynchronize(CUevent event) { return broken; }
CUresult cuEventElapsedTime(float *milliseconds, CUevent start, CUevent end) {
  *milliseconds = *(float *)end - *(float *)start;
  return broken;
}

/* A module is a copy of its name, and so is a function. */
CUresult cuModuleLoadData(CUmodule *module, const void *image) { *module = (CUmodule)strdup(image); return 0; }
CUresult cuModuleUnload(CUmodule module) { free(module); return 0; }
CUresult cuModuleGetFunction(CUfunction *function, CUmodule module, const char *name) {
  *function = (CUfunction)module;
  return strcmp(name, "main_kernel") ? 500 : 0;
}
CUresult cuFuncSetAttribute(CUfunction function, CUfunction_attribute what, int value) { return what == 8 ? 0 : 1; }

/* Kernels add two arrays of a float for each thread, or misbehave. */
CUresult cuLaunchKernel(
    CUfunction function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared,
    CUstream stream, void **arguments, void **extra) {
  const char *name = (const char *)function;
  float *a = *(float **)arguments[0], *b = *(float **)arguments[1], *to = *(float **)arguments[2];
  size_t count = (size_t)gx * gy * gz * bx * by * bz;
  if (stream != (CUstream)&captured || extra) return 400;
  if (capturing) { captured += 1; return 0; }
  if (broken) return broken;
  now += 1;
  if (!strcmp(name, "fault")) { broken = 700; return 0; }
  if (!strcmp(name, "hang")) for (;;) pause();
  if (!strcmp(name, "nothing")) return 0;
  for (size_t at = 0; at < count; ++at) to[at] = a[at] + b[at];
  if (!strcmp(name, "overrun")) to[count] = 0;
  if (!strcmp(name, "underrun")) to[-1] = 0;
  if (!strcmp(name, "overwrite")) b[0] += 1;
  return 0;
}

CUresult cuStreamBeginCapture(CUstream stream, CUstreamCaptureMode mode) {
  if (capturing || mode != 1) return 900;
  capturing = 1;
  captured = 0;
  return broken;
}
CUresult cuStreamEndCapture(CUstream stream, CUgraph *graph) { capturing = 0; *graph = (CUgraph)&capturing; return broken; }
CUresult cuGraphInstantiateWithFlags(CUgraphExec *ready, CUgraph graph, unsigned long long flags) {
  *ready = (CUgraphExec)&capturing;
  return graph == (CUgraph)&capturing && !flags ? broken : 1;
}
CUresult cuGraphLaunch(CUgraphExec ready, CUstream stream) { now += captured; note("graph"); return broken; }
CUresult cuGraphExecDestroy(CUgraphExec ready) { return 0; }
CUresult cuGraphDestroy(CUgraph graph) { return 0; }
