/* Workers that are threads of the program.
 *
 * A thread runs the loop of worker.c over the same shared memory as a process would. What the supervisor does for
 * processes, each thread does for itself between two lives: it writes the notice of its death, then begins the next
 * life. A thread cannot be killed from outside: the state word of a task that must be killed or is overdue is swapped
 * as ever, and the worker's life ends when the task has returned and the worker finds the word changed.
 *
 * Invariant: a thread touches the shared memory, its options and the bell, never the pool or the pool's lock.
 * Called by: the caller's layer, through struct pp_backend. */
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "base/sys.h"
#include "host/backends.h"
#include "pool/bell.h"
#include "pool/call.h"
#include "pool/pool.h"
#include "shared/notice.h"
#include "shared/park.h"
#include "shared/worker_life.h"
#include "worker/worker.h"

#define ROOM_NS 1000000U /* how long a thread waits before it looks again whether there is room for a notice */
#define PAUSE_LEAST 50000U /* ns between two looks whether all have retired, at first */
#define PAUSE_MOST 10000000U /* … and later */
#define REFUSED_LEAST 10000000U /* ns until a thread is asked for again; doubled with each refusal */
#define REFUSED_MOST 5000000000U

/*             start_one()          the pool has become too small
 *     EMPTY --------------> ALIVE -----------------------------> RETIRED
 *                             |
 *                             | the initializer keeps failing
 *                             v
 *                          GIVEN_UP
 * A worker is REFUSED instead of ALIVE if the system has no thread. drive_threads() tries those again. resize_threads()
 * starts all that are not ALIVE and whose number the pool then has. */
enum thread_state { EMPTY, ALIVE, RETIRED, GIVEN_UP, REFUSED };

struct thread {
    struct threads *threads;
    uint32_t number;
    enum thread_state state; /* under the lock of `threads` */
    bool exists;      /* it must still be joined; used under the pool's lock alone */
    unsigned init_failures;
    jmp_buf ends;
    pthread_t id;
};

struct threads {
    struct pp_shared *shared;
    const struct pool_options *options;
    int task_pipe, bell;
    uint64_t refused_pause, refused_until; /* ns; under the pool's lock */
    pthread_mutex_t lock; /* for the states of all, and because notices have one writer at a time */
    struct thread workers[PP_WORKERS];
};

static bool is_ending(const struct threads *threads) {
    return atomic_load_explicit(&threads->shared->control->ending, memory_order_acquire) != 0;
}

/* Waits until there is room for the notice. A death ends the life that it tells of. Returns false if the pool ends. */
static bool send_notice(struct threads *threads, const struct pp_notice *notice) {
    for (;;) {
        if (is_ending(threads)) return false;
        pthread_mutex_lock(&threads->lock);
        bool told = notice->kind == PP_WORKER_DIED ? pp_life_end(threads->shared, notice->worker, notice)
                                                   : pp_notice_write(threads->shared, notice);
        pthread_mutex_unlock(&threads->lock);
        if (told) return true;
        pp_write(threads->bell, "", 1);
        pp_poll(NULL, 0, pp_now() + ROOM_NS);
    }
}

/* Whether the pool has no worker and will get none. Under the lock. */
static bool all_have_given_up(const struct threads *threads) {
    uint32_t wanted = atomic_load_explicit(&threads->shared->control->wanted, memory_order_acquire);
    uint32_t lost = 0;
    while (lost < wanted && threads->workers[lost].state >= GIVEN_UP) lost++;
    return wanted > 0 && lost == wanted;
}

/* Ends this worker for good. If it was the last one, the pool is broken, so that the caller does not wait for ever. */
static void give_up(struct thread *t, int32_t init_code) {
    struct threads *threads = t->threads;
    pthread_mutex_lock(&threads->lock);
    t->state = GIVEN_UP;
    bool hopeless = all_have_given_up(threads);
    pthread_mutex_unlock(&threads->lock);
    if (hopeless)
        send_notice(threads,
                    &(struct pp_notice){.kind = PP_POOL_BROKEN, .code = POOL_EINIT, .init_code = init_code});
    pp_write(threads->bell, "", 1);
}

/* A thread that finds the pool too small says so under the lock: either resize_threads() sees that it has gone, or the
 * thread sees that it may stay. */
static bool may_stay(struct thread *t) {
    struct threads *threads = t->threads;
    pthread_mutex_lock(&threads->lock);
    bool stays = t->number < atomic_load_explicit(&threads->shared->control->wanted, memory_order_acquire);
    if (!stays) t->state = RETIRED;
    pthread_mutex_unlock(&threads->lock);
    return stays;
}

/* Ends a life. Returns whether the thread must begin another. */
static bool finish_life(struct thread *t) {
    struct threads *threads = t->threads;
    struct pp_notice notice = pp_life_describe(threads->shared, t->number, getpid(), 0);
    if (!send_notice(threads, &notice)) return false;
    pp_write(threads->bell, "", 1);
    if (pp_life_deserves_another(threads->shared, t->number, &t->init_failures)) return may_stay(t);
    give_up(t, notice.init_code);
    return false;
}

/* For pool_stats(). */
static void set_process(const struct thread *t, pid_t pid) {
    atomic_store_explicit(&t->threads->shared->control->pids[t->number], (uint32_t)pid, memory_order_release);
}

static void live(struct thread *t) {
    struct threads *threads = t->threads;
    struct pp_worker_setup setup = {.shared = threads->shared, .options = threads->options, .number = t->number,
                             .life = pp_life_begin(threads->shared, t->number), .task_pipe = threads->task_pipe,
                             .bell = threads->bell, .ends = &t->ends};
    if (setjmp(t->ends) == 0) pp_worker_run(&setup);
}

static void *run_thread(void *argument) {
    struct thread *t = argument;
    do {
        set_process(t, getpid());
        live(t);
        set_process(t, 0);
    } while (finish_life(t));
    return NULL;
}

static void end_threads(struct pool *pool) {
    struct threads *threads = pool->backend_state;
    /* Pairs with the acquire in end_if_asked(), worker.c. A worker that does not see it yet is woken after it. */
    atomic_store_explicit(&pool->shared.control->ending, 1, memory_order_seq_cst);
    pp_wake_all(&pool->shared, pool->fds.task_pipe);
    pool->due &= ~(unsigned)PP_DUE_DRIVE;
    pp_step_out(pool); /* a task may run for long, and calls of other threads go on meanwhile */
    for (uint32_t i = 0; i < pool->workers; i++)
        if (threads->workers[i].exists) pthread_join(threads->workers[i].id, NULL);
    pp_step_in(pool);
    pthread_mutex_destroy(&threads->lock);
    pp_release(threads);
    pool->backend_state = NULL;
}

static bool start_one(struct threads *threads, uint32_t number) {
    struct thread *t = &threads->workers[number];
    if (t->exists) pthread_join(t->id, NULL);
    pthread_mutex_lock(&threads->lock);
    *t = (struct thread){.threads = threads, .number = number, .state = ALIVE};
    pthread_mutex_unlock(&threads->lock);
    struct pp_stack stack = {.size = threads->options->stack_size};
    return t->exists = pp_thread(&t->id, &stack, run_thread, t) == 0;
}

static bool is_in(struct threads *threads, uint32_t number, enum thread_state state) {
    pthread_mutex_lock(&threads->lock);
    bool is = threads->workers[number].state == state;
    pthread_mutex_unlock(&threads->lock);
    return is;
}

/* Sees to it that refused threads are asked for again, ever more rarely, and tells pool_stats() of them. */
static void note_refusal(struct pool *pool, bool refused) {
    struct threads *threads = pool->backend_state;
    uint64_t pause = threads->refused_pause;
    pause = !refused ? 0 : pause == 0 ? REFUSED_LEAST : pause * 2 < REFUSED_MOST ? pause * 2 : REFUSED_MOST;
    threads->refused_pause = pause;
    threads->refused_until = pp_now() + pause;
    uint64_t why = refused ? pp_shortage(POOL_EAGAIN, 0) : 0;
    atomic_store_explicit(&pool->shared.control->shortage, why, memory_order_relaxed);
    if (refused) pool->due |= PP_DUE_DRIVE;
    else pool->due &= ~(unsigned)PP_DUE_DRIVE;
}

/* Starts as many as the system allows: of all that are missing, or of those alone that it refused. Returns how many are
 * alive. */
static uint32_t start_missing_threads(struct pool *pool, bool refused_alone) {
    struct threads *threads = pool->backend_state;
    uint32_t alive = 0;
    bool allowed = true;
    for (uint32_t i = 0; i < pool->wanted; i++) {
        bool missing = !is_in(threads, i, ALIVE);
        if (missing && refused_alone && !is_in(threads, i, REFUSED)) continue;
        if (!missing || (allowed && (allowed = start_one(threads, i)))) {
            alive++;
            continue;
        }
        pthread_mutex_lock(&threads->lock);
        threads->workers[i].state = REFUSED;
        pthread_mutex_unlock(&threads->lock);
    }
    note_refusal(pool, !allowed);
    return alive;
}

/* Threads do the work by themselves. What is to be done in calls is to ask again for those that were refused. */
static void drive_threads(struct pool *pool) {
    struct threads *threads = pool->backend_state;
    if (pp_last_tick() < threads->refused_until) return;
    if (pool->broken) pool->due &= ~(unsigned)PP_DUE_DRIVE;
    else start_missing_threads(pool, true);
}

static void resize_threads(struct pool *pool) {
    struct threads *threads = pool->backend_state;
    start_missing_threads(pool, false);
    pthread_mutex_lock(&threads->lock);
    if (all_have_given_up(threads))
        pp_notice_write(threads->shared, &(struct pp_notice){.kind = PP_POOL_BROKEN, .code = POOL_EAGAIN});
    pthread_mutex_unlock(&threads->lock);
}

static bool all_retired(struct threads *threads, uint32_t workers) {
    uint32_t i = 0;
    while (i < workers && !is_in(threads, i, ALIVE)) i++;
    return i == workers;
}

/* Threads retire within moments, or when their finalizers have returned. */
static int retire_threads(struct pool *pool, uint64_t deadline) {
    for (uint64_t pause = PAUSE_LEAST; !pool->ended && !all_retired(pool->backend_state, pool->workers);
         pause = pause < PAUSE_MOST ? pause * 2 : pause) {
        uint64_t now = pp_now();
        if (now >= deadline) return POOL_ETIMEDOUT;
        pp_advance(pool); /* makes room for their notices */
        pp_step_out(pool);
        pp_poll(NULL, 0, deadline - now < pause ? deadline : now + pause);
        pp_step_in(pool);
    }
    return 0;
}

static int start_threads(struct pool *pool) {
    struct threads *threads = pp_zalloc(1, sizeof *threads);
    if (!threads) return POOL_ENOMEM;
    if (pthread_mutex_init(&threads->lock, NULL)) goto no_lock;
    int tasks[2];
    if (!pp_bell_make(pool) || pp_pipe(tasks)) goto no_pipe;
    pool->fds.task_pipe = tasks[1];
    threads->task_pipe = pool->fds.task_pipe_end = tasks[0];
    threads->shared = &pool->shared;
    threads->options = &pool->options;
    threads->bell = pool->fds.bell_end;
    pool->backend_state = threads;
    uint32_t alive = start_missing_threads(pool, false);
    /* Threads that were started may have given up by now. */
    pthread_mutex_lock(&threads->lock);
    bool hopeless = all_have_given_up(threads);
    pthread_mutex_unlock(&threads->lock);
    if (!hopeless || alive == pool->wanted) return 0;
    end_threads(pool);
    return alive ? POOL_EINIT : POOL_EAGAIN;

no_pipe:
    pthread_mutex_destroy(&threads->lock);
no_lock:
    pp_release(threads);
    return POOL_EAGAIN;
}

const struct pp_backend pp_threads = {
    .start = start_threads, .end = end_threads, .drive = drive_threads, .resize = resize_threads,
    .retire = retire_threads, .in_here = true};
