/* Workers that are threads of the program.
 *
 * They run the loop of worker.c over the same shared memory, and what the supervisor does for processes each does for itself
 * between two lives: it tells of its end and begins anew. Nobody can kill a thread: what is to be killed is swapped to KILLED,
 * what is overdue to OVERDUE, and the worker's life ends when the task has returned and finds it so.
 *
 * Invariant: a thread touches the shared memory, its options and the bell, never the pool or its lock; so the pool's end may
 * wait for it under that lock.
 * Called by: pool, through struct pp_backend. */
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "backend.h"
#include "doze.h"
#include "life.h"
#include "notice.h"
#include "pool.h"
#include "sys.h"

#define ROOM_NS 1000000U /* how long a thread waits before it looks again whether there is room for a notice */

struct thread {
    struct crew *crew;
    uint32_t number;
    unsigned init_failures;
    jmp_buf ends;
    pthread_t id;
};

struct crew {
    struct pp_shared *shared;
    struct pp_worker_options options;
    int task_pipe, bell;
    pthread_mutex_t lock; /* notices have one writer at a time; and the count below */
    uint32_t given_up;    /* places that never had a thread, or whose initializer keeps failing */
    uint32_t count;       /* threads, the first places */
    struct thread threads[];
};

static bool is_ending(const struct crew *crew) {
    return atomic_load_explicit(&crew->shared->front->ending, memory_order_acquire) != 0;
}

/* Waits for room where there is none. False: the pool ends. */
static bool tell(struct crew *crew, const struct pp_notice *notice) {
    for (;;) {
        if (is_ending(crew)) return false;
        pthread_mutex_lock(&crew->lock);
        bool told = pp_notice_write(crew->shared, notice);
        pthread_mutex_unlock(&crew->lock);
        if (told) return true;
        pp_write(crew->bell, "", 1);
        pp_poll(NULL, 0, pp_now() + ROOM_NS);
    }
}

/* Without a worker, and without hope of one, the caller must not wait. */
static void give_up(struct crew *crew, int32_t init_code) {
    pthread_mutex_lock(&crew->lock);
    bool last = ++crew->given_up == atomic_load_explicit(&crew->shared->front->workers, memory_order_relaxed);
    pthread_mutex_unlock(&crew->lock);
    if (last) tell(crew, &(struct pp_notice){.kind = PP_POOL_BROKEN, .code = POOL_EINIT, .init_code = init_code});
    pp_write(crew->bell, "", 1);
}

/* Whether the thread is to live once more. */
static bool bury(struct thread *t) {
    struct crew *crew = t->crew;
    struct pp_notice notice = pp_life_describe(crew->shared, t->number, getpid(), 0);
    if (!tell(crew, &notice)) return false;
    pp_life_end(crew->shared, t->number);
    pp_write(crew->bell, "", 1);
    if (pp_life_deserves_another(crew->shared, t->number, &t->init_failures)) return true;
    give_up(crew, notice.init_code);
    return false;
}

/* For pool_stats(). */
static void set_process(const struct thread *t, pid_t pid) {
    atomic_store_explicit(&t->crew->shared->front->pids[t->number], (uint32_t)pid, memory_order_release);
}

static void live(struct thread *t) {
    struct crew *crew = t->crew;
    struct pp_place place = {.shared = crew->shared, .options = &crew->options, .number = t->number,
                             .life = pp_life_begin(crew->shared, t->number), .task_pipe = crew->task_pipe,
                             .bell = crew->bell, .ends = &t->ends};
    if (setjmp(t->ends) == 0) pp_worker_run(&place);
}

static void *run_thread(void *argument) {
    struct thread *t = argument;
    set_process(t, getpid());
    do live(t);
    while (bury(t));
    set_process(t, 0);
    return NULL;
}

static void stop(struct pool *pool) {
    struct crew *crew = pool->crew;
    /* Release: pairs with the acquire in end_if_asked(), worker.c; whoever sleeps is woken after it. */
    atomic_store_explicit(&pool->shared.front->ending, 1, memory_order_seq_cst);
    pp_wake_all(&pool->shared, pool->task_pipe);
    for (uint32_t i = 0; i < crew->count; i++) pthread_join(crew->threads[i].id, NULL);
    pthread_mutex_destroy(&crew->lock);
    pp_release(crew);
    pool->crew = NULL;
}

static void end(struct pool *pool) {
    pp_stop_all(pool); /* so that they soon find nothing more to do */
    stop(pool);
}

/* As many as the system allows. */
static int start_threads(struct pool *pool) {
    struct crew *crew = pool->crew;
    for (; crew->count < pool->workers; crew->count++) {
        struct thread *t = &crew->threads[crew->count];
        t->crew = crew;
        t->number = crew->count;
        if (pp_thread(&t->id, run_thread, t)) break;
    }
    if (crew->count == pool->workers) return 0;
    if (crew->count == 0) return POOL_EAGAIN;
    /* Those that began may have counted themselves meanwhile. */
    pthread_mutex_lock(&crew->lock);
    uint32_t missing = pool->workers - crew->count;
    bool none_left = (crew->given_up += missing) == pool->workers;
    pthread_mutex_unlock(&crew->lock);
    return none_left ? POOL_EINIT : 0;
}

static int start(struct pool *pool) {
    struct crew *crew = pp_zalloc(1, sizeof *crew + pool->workers * sizeof *crew->threads);
    if (!crew) return POOL_ENOMEM;
    if (pthread_mutex_init(&crew->lock, NULL)) goto no_lock;
    if (!pp_make_bell(pool)) goto no_bell;
    int tasks[2];
    if (pp_pipe(tasks, 1)) goto no_pipe;
    pool->task_pipe = tasks[1];
    crew->task_pipe = pool->task_pipe_end = tasks[0];
    crew->shared = &pool->shared;
    crew->options = pp_worker_options_of(pool);
    crew->bell = pool->bell_end;
    pool->crew = crew;
    int error = start_threads(pool);
    if (!error) return 0;
    stop(pool);
    pp_close(&pool->task_pipe);
    pp_close(&pool->task_pipe_end);
    pp_close(&pool->bell);
    pp_close(&pool->bell_end);
    return error;

no_pipe:
    pp_close(&pool->bell);
    pp_close(&pool->bell_end);
no_bell:
    pthread_mutex_destroy(&crew->lock);
no_lock:
    pp_release(crew);
    return POOL_EAGAIN;
}

const struct pp_backend pp_threads = {.start = start, .end = end, .in_here = true};
