/* A pool of threads, each with a letter box that the caller puts its part of a kernel into.
 *
 * Workers look into it busily for a moment and then sleep. A part that no worker has begun is taken by the caller as
 * soon as it has done its own, so that a small kernel never waits for a thread to wake up. While one thread has the
 * pool, others, and kernels inside kernels, compute alone. A child of fork starts without workers and makes its own.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <tvm/ffi/c_api.h>
#ifdef __linux__
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif
#include "pool.h"

#define MOST_WORKERS 511
#define SPINS 4000    /* looks into an empty box before a worker sleeps: some tens of microseconds */
#define PATIENCE 2000 /* looks at workers that are still computing before the caller lets others run */

/* Whoever turns FULL into EMPTY computes that part: the worker, or the caller in its place. */
enum { EMPTY, FULL, ASLEEP };
typedef struct {
  _Alignas(CACHE_LINE) atomic_uint box;
#ifdef __linux__
  pid_t thread;
  int away_from; /* the CPU that it may not run on, or -1 */
#else
  pthread_mutex_t mutex;
  pthread_cond_t woken;
#endif
} Worker;

static atomic_uint busy;
static int workers, most_workers = MOST_WORKERS;
static Worker worker[MOST_WORKERS + 1]; /* the first part is the caller's, who has no box */

/* The kernel that is being computed. */
static Kernel kernel;
static void *data;
static Group group;
static _Atomic(TVMFFIObjectHandle) error;
static _Alignas(CACHE_LINE) atomic_int pending;

static inline void relax(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("isb" ::: "memory");
#endif
}

static void sleep_until_woken(Worker *me) {
#ifdef __linux__
  syscall(SYS_futex, &me->box, FUTEX_WAIT_PRIVATE, ASLEEP, NULL, NULL, 0);
#else
  pthread_mutex_lock(&me->mutex);
  while (atomic_load(&me->box) == ASLEEP) pthread_cond_wait(&me->woken, &me->mutex);
  pthread_mutex_unlock(&me->mutex);
#endif
}

#ifdef __linux__
/* The caller does not leave its CPU until the kernel is computed, so a worker that is woken there has to wait for it to end.
 * Some systems do wake it there, though others are idle: virtual machines that keep to few CPUs. */
static void keep_away(Worker *sleeper) {
  int here = sched_getcpu();
  cpu_set_t others;
  if (here < 0 || here == sleeper->away_from || sched_getaffinity(0, sizeof others, &others) != 0) return;
  CPU_CLR(here, &others);
  if (CPU_COUNT(&others) != 0 && sched_setaffinity(sleeper->thread, sizeof others, &others) == 0) sleeper->away_from = here;
}
#endif

static void wake(Worker *sleeper) {
#ifdef __linux__
  keep_away(sleeper);
  syscall(SYS_futex, &sleeper->box, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
#else
  pthread_mutex_lock(&sleeper->mutex);
  pthread_cond_signal(&sleeper->woken);
  pthread_mutex_unlock(&sleeper->mutex);
#endif
}

static int take(Worker *from) {
  unsigned full = FULL;
  return atomic_compare_exchange_strong(&from->box, &full, EMPTY);
}

static void compute(int part) {
  if (kernel(part, &group, data) != 0) {
    /* tvm-ffi keeps errors by thread; the first of them is for the caller to raise. */
    TVMFFIObjectHandle raised = NULL, none = NULL;
    TVMFFIErrorMoveFromRaised(&raised);
    if (raised != NULL && !atomic_compare_exchange_strong(&error, &none, raised)) TVMFFIObjectDecRef(raised);
  }
  atomic_fetch_sub_explicit(&pending, 1, memory_order_release);
}

/* Until there is a part, or nothing has been computed for a moment. A worker that woke up so late that the caller took its
 * part stays awake while that is computed: if it slept, it would be as late for the next kernel, and so for all. */
static void wait_busily(Worker *me) {
  int idle = 0, looks = 0;
  while (idle < SPINS && atomic_load_explicit(&me->box, memory_order_relaxed) != FULL) {
    idle = atomic_load_explicit(&busy, memory_order_relaxed) ? 0 : idle + 1;
    if (idle != 0 || looks++ < PATIENCE) relax();
    else sched_yield(), looks = PATIENCE;
  }
}

static void *work(void *argument) {
  Worker *me = argument;
#ifdef __linux__
  me->thread = (pid_t)syscall(SYS_gettid); /* seen by whoever finds the box at ASLEEP */
  me->away_from = -1;
#endif
  for (;;) {
    wait_busily(me);
    if (take(me)) {
      compute((int)(me - worker));
      continue;
    }
    unsigned empty = EMPTY;
    if (atomic_compare_exchange_strong(&me->box, &empty, ASLEEP)) {
      while (atomic_load(&me->box) == ASLEEP) sleep_until_woken(me);
    }
  }
  return NULL;
}

/* In a child of fork nothing runs but the thread that forked. */
static void forget_workers(void) {
  for (int at = 1; at <= workers; at++) atomic_store(&worker[at].box, EMPTY);
  workers = 0;
  most_workers = MOST_WORKERS;
  atomic_store(&error, NULL);
  atomic_store(&busy, 0);
}

HIDDEN void stay_loaded(void) {
  Dl_info library;
  if (dladdr(&busy, &library)) dlopen(library.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_NODELETE);
}

/* Have as many workers as are wanted, or as the system gives; called by who has the pool. */
static int start(int wanted) {
  static int started_before;
  sigset_t all, before;
  pthread_attr_t detached;
  pthread_t thread;
  if (wanted > most_workers) wanted = most_workers;
  if (workers >= wanted) return wanted;
  if (!started_before) {
    started_before = 1;
    stay_loaded();
    pthread_atfork(NULL, NULL, forget_workers);
  }
  pthread_attr_init(&detached);
  pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
  sigfillset(&all); /* signals are for the program's own threads */
  pthread_sigmask(SIG_SETMASK, &all, &before);
  while (workers < wanted) {
    Worker *next = &worker[workers + 1];
#ifndef __linux__
    pthread_mutex_init(&next->mutex, NULL);
    pthread_cond_init(&next->woken, NULL);
#endif
    if (pthread_create(&thread, &detached, work, next) != 0) {
      most_workers = wanted = workers; /* the system gives no more */
      break;
    }
    workers++;
  }
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_attr_destroy(&detached);
  return wanted;
}

HIDDEN int run_parallel(Kernel whole, void *argument, int threads) {
  unsigned nobody = 0;
  if (threads <= 1 || !atomic_compare_exchange_strong(&busy, &nobody, 1)) {
    Group alone = {NULL, 1};
    return whole(0, &alone, argument);
  }
  int others = start(threads - 1);
  kernel = whole;
  data = argument;
  group.parts = others + 1;
  atomic_store_explicit(&pending, others + 1, memory_order_relaxed);
  for (int at = 1; at <= others; at++) {
    if (atomic_exchange(&worker[at].box, FULL) == ASLEEP) wake(&worker[at]);
  }
  compute(0);
  for (int at = 1; at <= others; at++) {
    if (take(&worker[at])) compute(at);
  }
  for (int spin = 0; atomic_load_explicit(&pending, memory_order_acquire) != 0; spin++) {
    if (spin < PATIENCE) relax();
    else sched_yield();
  }
  TVMFFIObjectHandle raised = atomic_exchange(&error, NULL);
  atomic_store_explicit(&busy, 0, memory_order_release);
  if (raised == NULL) return 0;
  TVMFFIErrorSetRaised(raised);
  TVMFFIObjectDecRef(raised);
  return -1;
}
