/* children: contestants that fork processes themselves, without a library. */
#ifndef PARPOOL_BENCH_CHILDREN_H
#define PARPOOL_BENCH_CHILDREN_H

#include "workload.h"

#include <sys/types.h>

/* A process that computes the items that come down a pipe. */
struct pipe_worker {
    int to, from;
    pid_t pid;
    size_t item; /* the item that it computes */
};

/* Forks a process for each item, as many at once as there are workers. Results come back through shared memory. */
void run_fork(void *workload);

/* Makes and ends a pipe worker for each of the workload's workers. */
void pipe_workers_start(struct workload *work);
void pipe_workers_stop(struct workload *work);

/* Sends each pipe worker one item at a time, and the next when it answers: the least that any pool over pipes costs. */
void run_pipes(void *workload);

/* ---- For other code that forks ----------------------------------------------------------------------------------- */

/* Waits until a child has ended, and returns its status. */
int wait_for(pid_t child);

/* Reads or writes all of `size` bytes. Returns false if no process has the other end of the pipe open any more. */
bool pipe_read(int descriptor, void *data, size_t size);
bool pipe_write(int descriptor, const void *data, size_t size);

#endif
