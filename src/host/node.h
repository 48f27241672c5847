/* A node: this program, started by a launcher, that serves one pool over its standard input and output.
 *
 * The head says what is to be run and when it may begin (message.h); the node submits it to a pool of the ordinary
 * kind, tells what came of it, and passes on what tasks have printed. It has one thread and never waits but in poll().
 *
 * Invariant: each task and chunk that the head has sent is in one of the node's two lists until it has been answered,
 * once. When the head has gone, is silent, or says what makes no sense, or when the pool is broken, the node ends, and
 * everything that it has started with it.
 * Files: node (its life), node_work (what the head has sent), node_chunk (parts of jobs), node_output, node_talk. */
#ifndef PP_NODE_H
#define PP_NODE_H

#include <stdnoreturn.h>

#include "base/list.h"
#include "pool/job_result.h"
#include "pool/pool.h"
#include "remote/message.h"
#include "remote/wire.h"

struct pp_node_function {
    pool_fn *fn;    /* NULL: not known here, */
    char *why;      /* and this is why; else NULL */
};

/* A job, or a reduction, that the head has announced. */
struct pp_node_job {
    struct pp_job_message told;
    struct pp_recipe *recipe; /* in the inputs heap; NULL: it is a job */
    const char *why;          /* why nothing of the reduction can run here; NULL: it can */
    size_t open; /* tasks and chunks of it */
};

/* A part of a job: the items that the head has sent together. */
struct pp_node_chunk {
    struct pp_node_job *job;
    const struct pp_node_function *function;
    const void *context;
    size_t count;
    uint64_t first;         /* index of the first item */
    uint64_t begun_at;      /* ns */
    char *in;               /* in the inputs heap; NULL: there are no arguments */
    uint64_t *names;        /* likewise: the index of each item; NULL: they are neighbours */
    char *out;              /* in the arena; NULL: results are not wanted */
    size_t *sizes;          /* of the results; NULL: not wanted */
    unsigned char *told;    /* [count] whether the item was reported */
    size_t told_count;
    struct pp_job_result result; /* once it has ended */
};

/* A task or chunk. */
struct pp_node_work {
    struct pp_link link; /* of `waiting` or `begun` */
    uint64_t id;
    struct future *future;       /* of a chunk NULL until it begins */
    struct pp_node_chunk *chunk; /* NULL: it is a task */
    struct pp_node_job *job;     /* NULL: it is of none */
    uint64_t first, count;       /* items of a leaf; of a join, `first` is what its failure names */
    struct pp_spot *spot;        /* of a leaf, in the work heap; else NULL */
    bool skips_failed;           /* it is a leaf whose items may fail */
    bool begun;
    const char *why;             /* why it cannot run here; NULL: it can */
};

/* Names that the head has given: [1, count]. */
struct pp_node_table {
    void **entries;
    size_t room;
};

struct pp_node_output {
    int fds[2];      /* what workers write to, this end: stdout, stderr; -1: they have the node's stderr */
    int ends[2];     /* the other */
    struct pp_buffer lines[2]; /* what was read and not sent */
    uint64_t since[2];         /* ns: when the rest, which is no whole line, was read; 0: there is none */
};

struct pp_node_self {
    struct pp_wire wire;
    struct pp_setup setup;
    struct pool *pool;
    struct pp_node_table functions, contexts, jobs; /* struct pp_node_function, memory of the inputs heap, … */
    uint64_t ready_by; /* ns; READY is said then at the latest; 0: it has been */
    uint64_t next_id, leave; /* of the next task or chunk; what has a lower or this id may begin */
    struct pp_list waiting, begun; /* struct pp_node_work, in the order of ids; in the order in which they began */
    size_t chunks;           /* that have begun */
    uint64_t look_at_items;  /* of chunks, ns */
    uint64_t told_items_at;  /* ns; when it last told of any */
    struct pp_node_output output;
    bool may_read, has_printed; /* since the last look: the head has said something; tasks have printed something */
    struct pp_stats_message stats; /* as last told */
};

/* Serves until the end. Called with PARPOOL_NODE in the environment. */
noreturn void pp_node_run(void);

/* ---- node_talk */

/* Sends a message of a fixed part and another. If there is no memory for it, the node ends soon. */
void pp_node_say(struct pp_node_self *node, uint16_t kind, uint64_t id, const unsigned char *fixed, size_t size,
                 const void *rest, size_t rest_size);
/* kind: FAILED, ITEM_FAILED or BROKEN. */
void pp_node_say_failed(struct pp_node_self *node, uint16_t kind, uint64_t id, uint64_t position,
                        const struct pool_failure *failure);
/* The leaf is done: its part, and which of its items have failed. */
void pp_node_say_part(struct pp_node_self *node, const struct pp_node_work *work);
/* Writes what waits to be written, for a while. */
void pp_node_flush(struct pp_node_self *node);
/* Ends the pool and the node. */
enum { PP_NODE_ENDED, PP_NODE_LOST, PP_NODE_REFUSED, PP_NODE_BROKEN, PP_NODE_NO_START };
noreturn void pp_node_end(struct pp_node_self *node, int status);
/* The same, if the pool, or what it is to be made of, is of no use: the head is told why. */
noreturn void pp_node_break_down(struct pp_node_self *node, const struct pool_failure *why, int status);
/* The same, if the head has said what makes no sense. */
noreturn void pp_node_refuse(struct pp_node_self *node, const char *what);
/* What a number stands for; one that stands for nothing makes no sense. */
void *pp_node_find(struct pp_node_self *node, const struct pp_node_table *table, uint64_t number);

/* ---- node_work */

/* Takes a message of the head but SETUP and END. */
void pp_node_take(struct pp_node_self *node, const struct pp_message *message);
/* Begins what has leave. */
void pp_node_begin(struct pp_node_self *node);
/* Tells what is done, while the head keeps up with what was sent. */
void pp_node_tell(struct pp_node_self *node);
bool pp_node_may_tell(const struct pp_node_self *node);

/* ---- node_chunk */

/* Makes a chunk of the message. Returns NULL if there is no memory. */
struct pp_node_chunk *pp_node_chunk_make(struct pp_node_self *node, const struct pp_chunk_message *m);
/* Begins it. Returns 0 or why not. */
int pp_node_chunk_begin(struct pp_node_self *node, struct pp_node_work *work);
/* Report the items that have ended and were not reported: of a chunk that has ended, of one that runs. */
void pp_node_chunk_report(struct pp_node_self *node, const struct pp_node_work *work);
void pp_node_chunk_report_so_far(struct pp_node_self *node, const struct pp_node_work *work);
void pp_node_chunk_free(struct pp_node_self *node, struct pp_node_chunk *chunk);

/* ---- node_output */

/* Makes the pipes. Returns false if there are no descriptors. */
bool pp_node_output_begin(struct pp_node_output *output);
/* In a worker: its stdout and stderr are the pipes from here on. */
void pp_node_output_redirect(const struct pp_node_output *output);
/* Sends what was printed, by whole lines; a rest once it is old. look: reads what there is. Returns when it is to be
 * called again at the latest; UINT64_MAX: once one of the pipes is readable. */
uint64_t pp_node_output_pass(struct pp_node_self *node, uint64_t now, bool look);
/* Whether there is anything to be read. */
bool pp_node_output_waits(const struct pp_node_self *node);
/* Whether more may be read: the head keeps up with what was sent. */
bool pp_node_output_may_read(const struct pp_node_self *node);

#endif
