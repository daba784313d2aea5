/* Scratch memory of kernels: a thread keeps what it was given for its next kernel, since new memory is slow. */
#include <pthread.h>
#include <stdlib.h>
#include <tvm/ffi/c_api.h>
#include "pool.h"

#define KEPT 8 /* blocks that a thread keeps: more than a kernel has at a time */

/* What lies before a block: its size. */
typedef struct {
  _Alignas(CACHE_LINE) uint64_t size;
} Head;

static __thread Head *kept[KEPT];
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t at_thread_end;

static void forget(void *blocks) {
  Head **mine = blocks;
  for (int at = 0; at < KEPT; at++) {
    free(mine[at]);
    mine[at] = NULL;
  }
}

static void make_key(void) {
  stay_loaded(); /* `forget` is called whenever a thread ends */
  pthread_key_create(&at_thread_end, forget);
}

HIDDEN void *allocate_scratch(int device, int number, uint64_t size, int code, int bits) {
  (void)device, (void)number, (void)code, (void)bits;
  int found = -1, largest = -1;
  for (int at = 0; at < KEPT; at++) {
    if (kept[at] == NULL) continue;
    if (kept[at]->size >= size && (found < 0 || kept[at]->size < kept[found]->size)) found = at;
    if (largest < 0 || kept[at]->size > kept[largest]->size) largest = at;
  }
  if (found >= 0) {
    Head *head = kept[found];
    kept[found] = NULL;
    return head + 1;
  }
  if (largest >= 0) { /* it grows, rather than one more being kept */
    free(kept[largest]);
    kept[largest] = NULL;
  }
  void *memory = NULL;
  if (size > UINT64_MAX / 2 || posix_memalign(&memory, CACHE_LINE, sizeof(Head) + size) != 0) {
    TVMFFIErrorSetRaisedFromCStr("MemoryError", "no memory for the scratch space of a kernel");
    return NULL;
  }
  ((Head *)memory)->size = size;
  return (Head *)memory + 1;
}

HIDDEN int release_scratch(int device, int number, void *memory) {
  (void)device, (void)number;
  Head *head = (Head *)memory - 1;
  pthread_once(&once, make_key);
  for (int at = 0; at < KEPT; at++) {
    if (kept[at] == NULL) {
      kept[at] = head;
      pthread_setspecific(at_thread_end, kept);
      return 0;
    }
  }
  free(head);
  return 0;
}
