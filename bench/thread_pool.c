#include "thread_pool.h"

#include <pthread.h>
#include <stdlib.h>

struct thread_pool {
    pthread_mutex_t lock; /* guards all members below */
    pthread_cond_t work, finished;
    struct thread_task *first, **last; /* the queue; last: the link for the next task */
    int idle;
    bool stop;
    int count;
    pthread_t *threads;
};

static void *thread_pool_work(void *argument) {
    struct thread_pool *pool = argument;
    pthread_mutex_lock(&pool->lock);
    for (;;) {
        pool->idle++;
        while (!pool->first && !pool->stop) pthread_cond_wait(&pool->work, &pool->lock);
        pool->idle--;
        struct thread_task *task = pool->first;
        if (!task) break;
        pool->first = task->next;
        if (!pool->first) pool->last = &pool->first;
        pthread_mutex_unlock(&pool->lock);
        (void)task->fn(task->in, task->out);
        pthread_mutex_lock(&pool->lock);
        task->done = true;
        if (!task->wanted) continue;
        pthread_mutex_unlock(&pool->lock); /* from now on the caller may free the task */
        pthread_cond_broadcast(&pool->finished);
        pthread_mutex_lock(&pool->lock);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

struct thread_pool *thread_pool_create(int count) {
    struct thread_pool *pool = calloc(1, sizeof *pool);
    if (!pool || !(pool->threads = calloc((size_t)count, sizeof *pool->threads))) bench_fail("no memory");
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, NULL);
    pthread_cond_init(&pool->finished, NULL);
    pool->last = &pool->first;
    for (; pool->count < count; pool->count++) {
        if (pthread_create(&pool->threads[pool->count], NULL, thread_pool_work, pool) != 0) bench_fail("no thread");
    }
    return pool;
}

void thread_pool_submit(struct thread_pool *pool, struct thread_task *task) {
    task->done = task->wanted = false;
    task->next = NULL;
    pthread_mutex_lock(&pool->lock);
    *pool->last = task;
    pool->last = &task->next;
    bool idle = pool->idle > 0;
    pthread_mutex_unlock(&pool->lock);
    if (idle) pthread_cond_signal(&pool->work);
}

void thread_pool_wait(struct thread_pool *pool, struct thread_task *task) {
    pthread_mutex_lock(&pool->lock);
    task->wanted = true;
    while (!task->done) pthread_cond_wait(&pool->finished, &pool->lock);
    pthread_mutex_unlock(&pool->lock);
}

void thread_pool_destroy(struct thread_pool *pool) {
    if (!pool) return;
    pthread_mutex_lock(&pool->lock);
    pool->stop = true;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    for (int i = 0; i < pool->count; i++) pthread_join(pool->threads[i], NULL);
    pthread_cond_destroy(&pool->finished);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->lock);
    free(pool->threads);
    free(pool);
}
