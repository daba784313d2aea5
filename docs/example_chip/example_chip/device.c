/* The simulated device: a process with memory of its own, a cache, and a counter of cycles.
 *
 * It is linked with one kernel, which the C compiler was told to instrument: -fsanitize=thread makes it call a function
 * at each access to memory, -fsanitize-coverage=trace-pc at each basic block. These functions are the hardware here.
 *
 * The model, in cycles at 100 MHz:
 *     1    a basic block entered
 *     1    an access to memory; to what lies in registers there is none
 *     20   more where that is device memory, and its line of 64 bytes is not in the cache (64 lines, direct mapped)
 * Arithmetic is free. A small local array of a kernel lies on the chip, a large one in device memory.
 *
 * usage: device CALLS COLD OUTPUTS SIZE...
 * reads the arguments of the kernel, SIZE bytes each, from standard input; runs it CALLS times; writes its last OUTPUTS
 * arguments and the cycles of each call, 8 bytes each, to standard output.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tvm/ffi/c_api.h>
#include <unistd.h>

enum { LINE = 64, LINES = 64, MISS = 20, GUARD = 0xA5, MOST = 16, WATCHDOG_S = 120 };

static char *memory;                        /* of the device */
static size_t size, used;                   /* bytes */
static uint64_t cycles, lines[LINES];       /* which line of memory each line of the cache holds, plus one */

int32_t __tvm_ffi_main(void *self, void *args, int32_t count, void *result);  /* the kernel, by TVM */

static void die(const char *what) {
  fprintf(stderr, "%s\n", what);
  exit(3);
}

/* ---- hardware ---- */

static void touch(const void *address) {
  size_t at = (size_t)((const char *)address - memory);
  cycles += 1;
  if (at < size && lines[at / LINE % LINES] != at / LINE + 1) {
    lines[at / LINE % LINES] = at / LINE + 1;
    cycles += MISS;
  }
}

#define ACCESS(bytes)                                       \
  void __tsan_read##bytes(void *a) { touch(a); }            \
  void __tsan_write##bytes(void *a) { touch(a); }           \
  void __tsan_unaligned_read##bytes(void *a) { touch(a); }  \
  void __tsan_unaligned_write##bytes(void *a) { touch(a); }
ACCESS(1) ACCESS(2) ACCESS(4) ACCESS(8) ACCESS(16)
static void touch_all(char *a, size_t bytes) {
  for (size_t at = 0; at < bytes; at += LINE) touch(a + at);
}
void __tsan_read_range(void *a, size_t bytes) { touch_all(a, bytes); }
void __tsan_write_range(void *a, size_t bytes) { touch_all(a, bytes); }
void __tsan_init(void) {}
void __tsan_func_entry(void *caller) { (void)caller; }
void __tsan_func_exit(void) {}
void __sanitizer_cov_trace_pc(void) { cycles += 1; }

/* ---- what TVM's code expects of its runtime ---- */

/* Memory of the device from here on is free, line by line. */
static void *take(size_t bytes) {
  size_t start = (used + LINE - 1) / LINE * LINE;
  if (bytes > size - start) die("out of device memory");
  used = start + bytes;
  return memory + start;
}

void *TVMBackendAllocWorkspace(int type, int id, uint64_t bytes, int code, int bits) {
  (void)type, (void)id, (void)code, (void)bits;
  return take(bytes);
}

int TVMBackendFreeWorkspace(int type, int id, void *pointer) {
  (void)type, (void)id;
  used = (size_t)((char *)pointer - memory);
  return 0;
}

/* ---- the device's command: copy in, run, copy out ---- */

int main(int argc, char **argv) {
  int calls = atoi(argv[1]), cold = atoi(argv[2]), outputs = atoi(argv[3]), count = argc - 4;
  size_t sizes[MOST], bytes = 1 << 24; /* for large local arrays */
  DLTensor tensors[MOST] = {0};
  TVMFFIAny arguments[MOST] = {0}, result;
  if (count > MOST) die("too many arguments");
  alarm(WATCHDOG_S); /* a kernel without end ends, even when nobody waits for it any more */
  for (int i = 0; i < count; i++) bytes += (sizes[i] = strtoull(argv[4 + i], NULL, 10)) + 2 * LINE;
  size = bytes;
  if (posix_memalign((void **)&memory, 4096, size)) die("no memory to simulate with");
  memset(memory, GUARD, size);
  for (int i = 0; i < count; i++) {
    tensors[i].data = take(sizes[i]);
    tensors[i].device.device_type = kDLCPU;
    arguments[i].type_index = kTVMFFIDLTensorPtr;
    arguments[i].v_ptr = &tensors[i];
    if (fread(tensors[i].data, 1, sizes[i], stdin) != sizes[i]) die("arguments are missing");
    take(LINE); /* nobody may write between two arguments */
  }
  uint64_t *counted = calloc(calls, sizeof *counted);
  for (int call = 0; call < calls; call++) {
    if (cold) memset(lines, 0, sizeof lines);
    cycles = 0;
    if (__tvm_ffi_main(NULL, arguments, count, &result)) die("the kernel failed");
    counted[call] = cycles;
  }
  for (int i = 0; i < count; i++)
    for (char *end = (char *)tensors[i].data + sizes[i], *at = end; at < end + LINE; at++)
      if ((unsigned char)*at != GUARD) die("written past the end of an argument");
  for (int i = count - outputs; i < count; i++) fwrite(tensors[i].data, 1, sizes[i], stdout);
  fwrite(counted, sizeof *counted, calls, stdout);
  return fflush(stdout) ? 3 : 0;
}
