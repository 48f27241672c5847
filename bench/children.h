/* children: contestants that are forked processes, without a library. */
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

/* A fork for each item, as many at once as there are workers. Results come back through shared memory. */
void run_fork(void *workload);

/* Makes and ends a pipe worker for each of the workload's workers. */
void pipe_workers_start(struct workload *work);
void pipe_workers_stop(struct workload *work);

/* Each pipe worker has one item at a time, and gets the next when it answers: what any pool over pipes must pay. */
void run_pipes(void *workload);

/* ---- For what else forks ----------------------------------------------------------------------------------------- */

/* Waits until a child has ended, and returns its status. */
int wait_for(pid_t child);

/* Reads or writes all of `size` bytes. Returns false if nobody has the other end of the pipe any more. */
bool pipe_read(int descriptor, void *data, size_t size);
bool pipe_write(int descriptor, const void *data, size_t size);

#endif
