/* Calls one kernel on arrays that lie in files, in place of TVM's runtime: linked with the kernel into a program.
 *
 *     program PARTS[/SOME] ARRAY...        ARRAY: DESCRIPTOR:START:BYTES:WRITABLE:DIMENSION,DIMENSION,...
 *
 * An array begins START bytes into its file, which the program inherits open, and is mapped, not copied. Before and
 * behind the file are pages that may not be touched, and what is only read cannot be written to: a kernel that goes
 * astray ends by a signal. PARTS is how many parts a parallel loop has; they are computed one after the other. With SOME,
 * so many parts of the kernel's last parallel loop are enough; it is loop LAST (0 where nothing may be left out).
 * Types are not told: TVM's checks of arguments are compiled out.
 * The status is 0 if the kernel returned, 1 if it raised an error, which is told on standard error, 2 if it never ran, 3
 * if it returned and parts were left out.
 */
#include <dlpack/dlpack.h>
#include <tvm/ffi/c_api.h>
#include "system.h"

#define MOST_ARRAYS 32
#define MOST_DIMENSIONS 16
#define GUARD (16l << 20)
#define PAGE 4096l

extern int __tvm_ffi_main(void *self, const TVMFFIAny *arguments, int32_t count, TVMFFIAny *result);

static int parts = 1, some, loops, left_out;

/* TVM's `TVMParallelGroupEnv`. */
typedef struct {
  void *sync;
  int32_t parts;
} Group;

static int launch(int (*body)(int part, Group *group, void *data), void *data, int wanted) {
  Group group = {NULL, wanted > 0 ? wanted : parts};
  int computed = group.parts;
  if (++loops == LAST && some > 1 && some < computed) computed = some, left_out = 1;
  for (int at = 0; at < computed; at++) {
    /* The first, the last, and some between. */
    int part = computed < group.parts ? at * (group.parts - 1) / (computed - 1) : at;
    if (body(part, &group, data) != 0) return -1;
  }
  return 0;
}

/* Scratch memory: pages of its own, with its size in the first, so that what runs off its end does not go unnoticed. */
static void *allocate(int device, int number, uint64_t size, int code, int bits) {
  (void)device, (void)number, (void)code, (void)bits;
  size_t whole = (size + 2 * PAGE - 1) / PAGE * PAGE;
  char *memory = map(NULL, whole + PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  if (memory == NULL || map(memory, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1) == NULL) {
    say("MemoryError: no memory for the scratch space of a kernel");
    return NULL;
  }
  *(size_t *)memory = whole + PAGE;
  return memory + PAGE;
}

static int release(int device, int number, void *memory) {
  (void)device, (void)number;
  char *start = (char *)memory - PAGE;
  system_call(MUNMAP, (long)start, (long)*(size_t *)start, 0, 0, 0, 0);
  return 0;
}

/* What TVM's code calls through. */
int (*__TVMBackendParallelLaunch)(int (*)(int, Group *, void *), void *, int) = launch;
void *(*__TVMBackendAllocWorkspace)(int, int, uint64_t, int, int) = allocate;
int (*__TVMBackendFreeWorkspace)(int, int, void *) = release;

void TVMFFIErrorSetRaisedFromCStrParts(const char *kind, const char **texts, int32_t count) {
  say(kind);
  say(": ");
  for (int32_t at = 0; at < count; at++) say(texts[at]);
}

void TVMFFIErrorSetRaisedFromCStr(const char *kind, const char *text) { TVMFFIErrorSetRaisedFromCStrParts(kind, &text, 1); }

/* What a kernel calls that finds itself in a state that cannot be. */
void abort(void) { __builtin_trap(); }

/* LLVM makes calls of these out of loops. */
void *memcpy(void *restrict to, const void *restrict from, size_t size) {
  for (size_t at = 0; at < size; at++) ((volatile char *)to)[at] = ((const char *)from)[at];
  return to;
}

void *memset(void *to, int value, size_t size) {
  for (size_t at = 0; at < size; at++) ((volatile char *)to)[at] = (char)value;
  return to;
}

void *memmove(void *to, const void *from, size_t size) {
  if ((uintptr_t)to <= (uintptr_t)from) return memcpy(to, from, size);
  for (size_t at = size; at-- > 0;) ((volatile char *)to)[at] = ((const char *)from)[at];
  return to;
}

/* The number that a text goes on with, and what follows it and one character. */
static int64_t number(const char **text) {
  int64_t value = 0;
  while (**text >= '0' && **text <= '9') value = 10 * value + (*(*text)++ - '0');
  if (**text) (*text)++;
  return value;
}

static void take(const char *text, DLTensor *tensor, int64_t *shape) {
  int descriptor = (int)number(&text);
  int64_t start = number(&text), size = number(&text);
  int access = number(&text) ? PROT_READ | PROT_WRITE : PROT_READ;
  *tensor = (DLTensor){.device = {kDLCPU, 0}, .shape = shape};
  while (*text && tensor->ndim < MOST_DIMENSIONS) shape[tensor->ndim++] = number(&text);
  size_t room = (size_t)(start + size + PAGE - 1) / PAGE * PAGE;
  char *memory = map(NULL, room + 2 * GUARD, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  if (memory != NULL) memory = map(memory + GUARD, room, access, MAP_SHARED | MAP_FIXED, descriptor);
  if (memory == NULL) {
    say("MemoryError: an array cannot be mapped");
    quit(2);
  }
  tensor->data = memory + start;
}

void begin(long *stack) {
  static DLTensor tensors[MOST_ARRAYS];
  static int64_t shapes[MOST_ARRAYS][MOST_DIMENSIONS];
  static TVMFFIAny arguments[MOST_ARRAYS], result;
  int count = (int)stack[0] - 2;
  const char **given = (const char **)(stack + 2);
  if (count < 1 || count > MOST_ARRAYS) {
    say("ValueError: too many arrays");
    quit(2);
  }
  parts = (int)number(&given[0]);
  some = (int)number(&given[0]);
  for (int at = 0; at < count; at++) {
    take(given[1 + at], &tensors[at], shapes[at]);
    arguments[at].type_index = kTVMFFIDLTensorPtr;
    arguments[at].v_ptr = &tensors[at];
  }
  quit(__tvm_ffi_main(NULL, arguments, count, &result) != 0 ? 1 : left_out ? 3 : 0);
}

START;
