/* What head and node say to each other: the kinds of messages, and the layout of each.
 *
 * A message is the fixed part of its kind, which a function here writes and another reads, and then, in the order in
 * which the struct names them, bytes of a length that the fixed part tells: arguments, results, texts. All numbers are
 * little-endian. How messages become bytes of a connection: wire.h.
 *
 * The head gives tasks and chunks ids: the first of a connection is 1, each is the one before plus 1. The node begins
 * a task or chunk once the head has given it leave, and answers each exactly once, by DONE or FAILED.
 *
 * Invariant: a reader takes any bytes, and returns false if a length, a number or a flag is not what it may be. The
 * pointers that it returns lie within the message.
 * Called by: the files of the carrier (the head) and of the node. */
#ifndef PP_MESSAGE_H
#define PP_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "remote/travel.h"

#define PP_PROTOCOL 1
#define PP_MESSAGE_MOST ((size_t)1 << 31) /* bytes of a message */
#define PP_FIXED_MOST 1024                /* bytes that a put writes at most */
#define PP_FAR_NUMBERS 65536U             /* functions, contexts and jobs of a connection have numbers 1 … this */
#define PP_OUTPUT_MOST ((size_t)64 << 10) /* bytes of an OUTPUT; so many without a line feed: the line goes on */
#define PP_CHUNK_ITEMS 65536U             /* items of a chunk at most */
#define PP_FAR_TEXT 256                   /* bytes of a text of a failure, with its end */
#define PP_FAR_FRAMES 8                   /* frames of a crash */

enum pp_kind {
    /* Of both, and the wire's own: see wire.h. */
    PP_SAY_ALIVE = 1,
    PP_SAY_CREDIT = 2,
    /* From the head. The id is a number of the head's where it says so. */
    PP_SAY_SETUP = 16,          /* first: struct pp_setup */
    PP_SAY_FUNCTION = 17,       /* id: the function's number from here on: struct pp_function_message */
    PP_SAY_CONTEXT = 18,        /* id: the context's number; the bytes are all of the message */
    PP_SAY_FORGET_CONTEXT = 19, /* id: the context's number; what uses it has been answered */
    PP_SAY_JOB = 20,            /* id: the number of the job, or of the reduction: struct pp_job_message */
    PP_SAY_END_JOB = 21,        /* id: its number; what is of it has been answered */
    PP_SAY_TASK = 22,           /* struct pp_task_message */
    PP_SAY_CHUNK = 23,          /* struct pp_chunk_message */
    PP_SAY_LEAVE = 24,          /* id: leave to begin all with this or a lower id */
    PP_SAY_FORGET = 25,         /* id: is not to be begun; it ends as POOL_ECANCELLED, if it has not begun */
    PP_SAY_KILL = 26,           /* id: likewise, and is killed if it runs */
    PP_SAY_END = 27,            /* all is to end, after the finalizers: struct pp_end_message */
    /* From the node. */
    PP_SAY_READY = 64,      /* the pool is there: struct pp_ready */
    PP_SAY_BROKEN = 65,     /* it is not, or no more; the node ends: struct pp_failure_message */
    PP_SAY_DONE = 66,       /* id: a task has succeeded, and the result is all of the message, shorter than out_size if
                               the task made it so; or a chunk has ended, and its items that ended were reported */
    PP_SAY_FAILED = 67,     /* id: a task or chunk has failed, or was not run: struct pp_failure_message */
    PP_SAY_ITEMS = 68,      /* id: items of a chunk have succeeded: struct pp_items_message */
    PP_SAY_ITEM_FAILED = 69, /* id: an item of a chunk has failed: struct pp_failure_message, `position` in the chunk */
    PP_SAY_OUTPUT = 70,     /* id: 1 stdout, 2 stderr: whole lines of tasks are all of the message; see node.h */
    PP_SAY_CPUS = 71,       /* id: CPUs that the node has from here on */
    PP_SAY_STATS = 72       /* struct pp_stats_message */
};

/* ---- from the head */

struct pp_setup {
    uint32_t silence; /* ms without a word after which the head takes the node for lost */
    uint32_t workers; /* 0: one a CPU there */
    uint32_t max_tasks_per_worker, idle_timeout, sandbox;
    uint64_t arena_size, memory_limit, memory_soft_limit, min_free_memory, stack_size;
    double max_load;
    bool pin, lazy, keep_oom_score, keep_children, fresh_after_failure, capture;
    bool carries_output; /* stdout and stderr of tasks come as OUTPUT; else they are the node's stderr */
    struct pp_reference initializer, finalizer;
    /* What these are passed: objects of the program, as they are over there; nothing: NULL. */
    struct pp_reference initializer_arg, finalizer_arg;
};

struct pp_function_message {
    struct pp_reference function;
    const char *module; /* the name of the module's file, for texts, module_size bytes without an end */
    size_t module_size;
};

/* What a job's items, or a reduction's tasks, have in common. */
struct pp_job_message {
    uint32_t function; /* number; 0 only in a reduction: none */
    uint32_t combine;  /* number; 0: this is a job */
    uint32_t context;  /* number; 0: none */
    uint32_t timeout, cpu_timeout; /* ms; 0: none */
    uint32_t failures; /* of the items that fail, so many, the lowest, tell code and text; the others an error alone */
    uint64_t seed;
    uint64_t in_size;  /* of an item; 0: items have their index alone */
    uint64_t out_size; /* of an item */
    bool wants_out;    /* else functions write to scratch memory */
    bool has_sizes;    /* items of the job may use task_resize() */
    bool is_block;     /* `function` takes neighbouring items in one call */
    bool skips_failed; /* of a reduction: items that fail are left out */
    bool is_fresh;     /* of a job: its items are retries, each to be run by a worker that has run nothing */
};

enum pp_task_shape {
    PP_SHAPE_PLAIN,
    PP_SHAPE_LEAF, /* of the reduction `job`, which tells out_size: the argument is `count` items, `index` the first;
                    * then, if failed items are skipped, a byte for each: it is left out. So is the answer, DONE: the
                    * part, and then struct pp_skipped_message */
    PP_SHAPE_JOIN  /* likewise: combines the inputs, each of which is the part of `count` items, the last of up to so
                    * many; `index` is the first of all */
};

struct pp_task_message {
    uint8_t shape;
    uint32_t function; /* number; 0 if `job` says it */
    uint32_t job;      /* of a leaf or join; else 0 */
    uint32_t context;  /* number; 0: none, or the job says it */
    uint32_t timeout, cpu_timeout; /* ms; 0: none */
    int32_t priority;
    uint64_t index, seed;
    uint64_t count;    /* of a leaf or join */
    uint64_t out_size; /* room for the result; 0: none */
    bool any_size;     /* POOL_ANY_SIZE: out_size is 0, and the task makes room for its result itself */
    bool has_in;
    bool is_alone;     /* of a leaf: a block function gets each item alone */
    bool is_fresh;     /* a retry, to be run by a worker that has run nothing */
    uint64_t in_size;
    uint32_t input_count;
    /* Then: the size of each input, 8 bytes, PP_NO_INPUT: that task has no result; the argument; the inputs. */
    const unsigned char *input_sizes, *in, *inputs;
};
#define PP_NO_INPUT UINT64_MAX

struct pp_chunk_message {
    uint32_t job;
    uint32_t count;
    uint64_t first; /* index of the first item; the others follow it, unless there is a list of them */
    bool has_list;
    /* Then: the index of each item, 8 bytes, if there is a list; the arguments, in_size bytes each. */
    const unsigned char *list, *in;
    size_t in_bytes; /* of all arguments: the node checks them against its job */
};

struct pp_end_message {
    uint32_t patience; /* ms that the finalizers have */
};

/* ---- from the node */

struct pp_ready {
    uint32_t cpus, workers;
};

struct pp_failure_message {
    int32_t error;  /* POOL_E… */
    int32_t code, signal, worker; /* as in struct pool_failure */
    uint64_t position; /* of an item in its chunk; of a leaf, the index of the item that failed; else 0 */
    uint32_t frame_count;
    struct pp_reference frames[PP_FAR_FRAMES]; /* innermost first */
    const char *text; /* text_size bytes, less than PP_FAR_TEXT, without an end */
    size_t text_size;
};

/* Which items of a leaf have failed. */
struct pp_skipped_message {
    uint64_t failed;       /* how many */
    uint64_t first;        /* index of the first */
    int32_t code, worker;  /* of that, as in struct pool_failure; code is not 0 unless none has failed */
    const char *text;      /* text_size bytes, less than PP_FAR_TEXT, without an end */
    size_t text_size;
};

struct pp_items_message {
    uint32_t first, count; /* positions in the chunk */
    uint64_t took;         /* ns since the chunk began, or since the node last told of items if that was later */
    bool has_sizes;
    /* Then: the size of each result, 8 bytes, if the job has sizes; the results, out_size bytes each, whatever their
     * size, unless the job wants none. */
    const unsigned char *sizes, *out;
    size_t out_bytes; /* of all results: the head checks them against its job */
};

struct pp_stats_message {
    uint64_t tasks, busy; /* tasks and items that were run; ns that workers were at them */
    uint64_t deaths;
    uint32_t workers, running;
};

/* ---- the fixed parts. Each put writes PP_FIXED_MOST bytes at most and returns how many; each get takes the whole
 * message. */

size_t pp_put_setup(unsigned char *to, const struct pp_setup *m);
bool pp_get_setup(const unsigned char *data, size_t size, struct pp_setup *m);
size_t pp_put_function(unsigned char *to, const struct pp_function_message *m);
bool pp_get_function(const unsigned char *data, size_t size, struct pp_function_message *m);
size_t pp_put_job(unsigned char *to, const struct pp_job_message *m);
bool pp_get_job(const unsigned char *data, size_t size, struct pp_job_message *m);
size_t pp_put_task(unsigned char *to, const struct pp_task_message *m);
bool pp_get_task(const unsigned char *data, size_t size, struct pp_task_message *m);
size_t pp_put_chunk(unsigned char *to, const struct pp_chunk_message *m);
bool pp_get_chunk(const unsigned char *data, size_t size, struct pp_chunk_message *m);
size_t pp_put_end(unsigned char *to, const struct pp_end_message *m);
bool pp_get_end(const unsigned char *data, size_t size, struct pp_end_message *m);

size_t pp_put_ready(unsigned char *to, const struct pp_ready *m);
bool pp_get_ready(const unsigned char *data, size_t size, struct pp_ready *m);
size_t pp_put_failure(unsigned char *to, const struct pp_failure_message *m);
bool pp_get_failure(const unsigned char *data, size_t size, struct pp_failure_message *m);
size_t pp_put_skipped(unsigned char *to, const struct pp_skipped_message *m);
bool pp_get_skipped(const unsigned char *data, size_t size, struct pp_skipped_message *m);
size_t pp_put_items(unsigned char *to, const struct pp_items_message *m);
bool pp_get_items(const unsigned char *data, size_t size, struct pp_items_message *m);
size_t pp_put_stats(unsigned char *to, const struct pp_stats_message *m);
bool pp_get_stats(const unsigned char *data, size_t size, struct pp_stats_message *m);

/* One number of what follows the fixed part: of input_sizes, list or sizes. */
uint64_t pp_get_number(const unsigned char *numbers, size_t i);
void pp_put_number(unsigned char *numbers, size_t i, uint64_t value);

#endif
