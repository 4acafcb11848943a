/* pool.c - the threads of the process: they sleep until a kernel has parts to give away.
 *
 * A kernel cuts its work into parts by a rule of its own and hands them over; whoever is awake takes
 * the next one, the caller too, so that nothing waits for a thread that wakes up late. Parts write
 * to places of their own, and which thread does one changes nothing. Threads are started when first
 * asked for and block all signals. One caller has the pool at a time: another one, or a part that
 * calls a kernel itself, does its parts alone. A forked child starts with an empty pool.
 *
 * Putting a thread to sleep and waking it up takes 50 us and more on a virtual machine, as long as
 * many a kernel. The kernels of a training step follow each other closely, so a thread that has run
 * out of parts looks out for the next ones for some 30 us before it sleeps, and a caller as long for
 * the last part of another's. Nobody who is idle for longer costs anything. */
#include "cnet.h"

#include <string.h>

#ifdef _WIN32
#include <windows.h>
typedef SRWLOCK cnet_lock;
typedef CONDITION_VARIABLE cnet_signal;
#define LOCK_INIT SRWLOCK_INIT
#define SIGNAL_INIT CONDITION_VARIABLE_INIT
#define lock(l) AcquireSRWLockExclusive(l)
#define unlock(l) ReleaseSRWLockExclusive(l)
#define sleep_on(s, l) SleepConditionVariableSRW(s, l, INFINITE, 0)
#define wake_all(s) WakeAllConditionVariable(s)
#define wake_one(s) WakeConditionVariable(s)
#else
#include <pthread.h>
#include <signal.h>
typedef pthread_mutex_t cnet_lock;
typedef pthread_cond_t cnet_signal;
#define LOCK_INIT PTHREAD_MUTEX_INITIALIZER
#define SIGNAL_INIT PTHREAD_COND_INITIALIZER
#define lock(l) pthread_mutex_lock(l)
#define unlock(l) pthread_mutex_unlock(l)
#define sleep_on(s, l) pthread_cond_wait(s, l)
#define wake_all(s) pthread_cond_broadcast(s)
#define wake_one(s) pthread_cond_signal(s)
#endif

#if defined(__x86_64__) || defined(__i386__)
#define relax() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define relax() __asm__ volatile("yield")
#else
#define relax() ((void)0)
#endif
#define PATIENCE 1500 /* times relax() */

/* A worker's scratch lies on its stack, with room to spare for the kernels themselves. */
#define STACK_BYTES (CNET_SCRATCH_BYTES + (1 << 19))

static struct {
    int taken; /* by the one caller that the pool works for; atomic */
    cnet_lock lock;
    cnet_signal begin, end;
    /* Under the lock: */
    int workers;  /* threads that have been started */
    int wanted;   /* of them may still join the work */
    int busy;     /* of them are at it; read without the lock too */
    uint64_t job; /* number of the work; likewise */
    /* Written before the work begins, read by those who have joined: */
    cnet_task task;
    const void *context;
    size_t parts, next; /* next is atomic */
} pool = {.lock = LOCK_INIT, .begin = SIGNAL_INIT, .end = SIGNAL_INIT};

#define read_now(p) __atomic_load_n(p, __ATOMIC_ACQUIRE)

static void work(int lane, void *scratch)
{
    size_t part;
    while ((part = __atomic_fetch_add(&pool.next, 1, __ATOMIC_RELAXED)) < pool.parts)
        pool.task(pool.context, part, lane, scratch);
}

static void worker(void)
{
    _Alignas(64) char scratch[CNET_SCRATCH_BYTES];
    uint64_t last = 0;
    lock(&pool.lock);
    for (;;) {
        if (pool.wanted == 0 || pool.job == last) {
            unlock(&pool.lock);
            for (int i = 0; i < PATIENCE && read_now(&pool.job) == last; i++)
                relax();
            lock(&pool.lock);
        }
        while (pool.wanted == 0 || pool.job == last)
            sleep_on(&pool.begin, &pool.lock);
        last = pool.job;
        const int lane = pool.wanted--;
        __atomic_add_fetch(&pool.busy, 1, __ATOMIC_RELAXED);
        unlock(&pool.lock);
        work(lane, scratch);
        lock(&pool.lock);
        if (__atomic_sub_fetch(&pool.busy, 1, __ATOMIC_RELEASE) == 0)
            wake_one(&pool.end);
    }
}

#ifdef _WIN32
static DWORD WINAPI worker_main(void *unused)
{
    (void)unused;
    worker();
    return 0;
}

static int start_worker(void)
{
    HANDLE thread = CreateThread(NULL, STACK_BYTES, worker_main, NULL,
                                 STACK_SIZE_PARAM_IS_A_RESERVATION, NULL);
    if (thread)
        CloseHandle(thread);
    return thread != NULL;
}
#else
static void *worker_main(void *unused)
{
    (void)unused;
    worker();
    return NULL;
}

/* Only the forking thread lives on in the child: whatever the others held or waited for is gone. */
static void empty_pool(void)
{
    static const pthread_mutex_t fresh_lock = LOCK_INIT;
    static const pthread_cond_t fresh_signal = SIGNAL_INIT;
    memset(&pool, 0, sizeof pool);
    pool.lock = fresh_lock;
    pool.begin = pool.end = fresh_signal;
}

static int start_worker(void)
{
    static int prepared_for_fork;
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t all, before;
    int started;
    if (!prepared_for_fork)
        prepared_for_fork = pthread_atfork(NULL, NULL, empty_pool) == 0;
    if (!prepared_for_fork || pthread_attr_init(&attributes) != 0)
        return 0;
    /* Signals are for the threads that Python knows. */
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    started = pthread_attr_setstacksize(&attributes, STACK_BYTES) == 0
              && pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED) == 0
              && pthread_create(&thread, &attributes, worker_main, NULL) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return started;
}
#endif

void cnet_pool_run(int threads, size_t parts, cnet_task task, const void *context, void *scratch)
{
    const size_t useful = parts < (size_t)threads ? parts : (size_t)threads;
    if (threads < 2 || parts < 2 || __atomic_exchange_n(&pool.taken, 1, __ATOMIC_ACQUIRE)) {
        for (size_t part = 0; part < parts; part++)
            task(context, part, 0, scratch);
        return;
    }
    const int helpers = (int)useful - 1;
    lock(&pool.lock);
    /* Where the system has no thread left to give, those that there are do it. */
    while (pool.workers < helpers && start_worker())
        pool.workers++;
    pool.task = task;
    pool.context = context;
    pool.parts = parts;
    pool.next = 0;
    pool.wanted = helpers;
    __atomic_add_fetch(&pool.job, 1, __ATOMIC_RELEASE);
    if (helpers == 1)
        wake_one(&pool.begin);
    else
        wake_all(&pool.begin);
    unlock(&pool.lock);
    work(0, scratch);
    lock(&pool.lock);
    pool.wanted = 0;
    unlock(&pool.lock);
    for (int i = 0; i < PATIENCE && read_now(&pool.busy); i++)
        relax();
    lock(&pool.lock);
    while (pool.busy)
        sleep_on(&pool.end, &pool.lock);
    unlock(&pool.lock);
    __atomic_store_n(&pool.taken, 0, __ATOMIC_RELEASE);
}

int cnet_pool_workers(void)
{
    return pool.workers;
}
