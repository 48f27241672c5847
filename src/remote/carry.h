/* The carrier as its own files see it; which they are: carrier.h.
 *
 * An errand is a task or a chunk that was sent to a host. A chunk's data are a parcel. Until the host has leave to
 * begin it, an errand costs nothing if the host is lost.
 *
 * Invariant: that of carrier.h. Only the carrier reads or writes what is here.
 * Where a host has sent what it must not send, its wire is lost, and with it the host. */
#ifndef PP_CARRY_H
#define PP_CARRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/backoff.h"
#include "remote/carrier.h"
#include "remote/message.h"
#include "remote/wire.h"
#include "shared/carried.h"
#include "worker/claim.h"

#define PP_NS_PER_MS 1000000U
#define PP_JOBS_KNOWN 16       /* jobs of which a host has been told and not all is answered */
#define PP_FOLDS_KNOWN 8       /* likewise reductions */
#define PP_TASK_CONTEXTS 4096U /* contexts of tasks that a host has at a time */
#define PP_STREAMS_KNOWN 8     /* contexts of several tasks, those of a stream, that a host has at a time */

/* Numbers of contexts at a host; those of jobs are the lowest. */
#define PP_CONTEXT_OF_TASK (PP_JOBS_KNOWN + 1)
#define PP_CONTEXT_OF_FOLD (PP_CONTEXT_OF_TASK + PP_TASK_CONTEXTS)
#define PP_CONTEXT_OF_STREAM (PP_CONTEXT_OF_FOLD + PP_FOLDS_KNOWN)

struct pp_parcel {
    struct pp_chunk chunk;
    uint32_t count, left;  /* items; of them, those without an outcome */
    bool judged;           /* the plan's `failed` is valid for its items: some have failed */
    bool *told;            /* [count] whether the item has its outcome */
    struct pp_parcel *next; /* that waits for a host */
};

enum pp_errand_state {
    PP_ERRAND_SENT,  /* without leave */
    PP_ERRAND_BEGUN, /* with leave */
    PP_ERRAND_FORGOTTEN, PP_ERRAND_KILLED /* the same two, but nothing waits for its outcome */
};

struct pp_errand {
    uint64_t id;     /* at the host; 0: not in use */
    uint64_t ticket; /* of the task; 0: it is a chunk */
    uint64_t begun_at; /* ns; when the host got leave */
    struct pp_parcel *parcel;
    uint32_t items;  /* 1 for a task */
    uint32_t timeout; /* ms, of the task, or of each item; 0: none */
    uint32_t next;   /* in the same bucket, or free: 1 + its place; 0: none */
    uint16_t context; /* number of the task's context; 0: none, or its job has it */
    uint16_t fold;    /* number of the job of a reduction's task; 0: it is another's */
    uint8_t job;      /* number of a chunk's; 0: it is a task */
    uint8_t state;
};

/* What a host has been told of a job. */
struct pp_far_job {
    uint64_t ticket; /* 0: not in use */
    uint32_t entry;  /* of the job table */
    uint32_t out;    /* chunks of it that are not answered */
    bool has_context;
};

/* The same of a reduction. */
struct pp_far_fold {
    uint64_t serial; /* of its recipe; 0: not in use */
    uint32_t out;    /* tasks of it that are not answered */
    bool has_context;
};

/* The same of a context of several tasks. */
struct pp_far_context {
    uint64_t serial; /* 0: not in use */
    uint64_t still_since; /* ns; when `out` was last seen to be 0; 0: it was not */
    uint32_t out;    /* tasks with it that are not answered */
};

/* How fast a host is. */
struct pp_far_pace {
    double rate;    /* items per ns, as last measured */
    uint64_t since; /* ns; begin of the present measurement; of items of jobs, when some were last told of */
    uint64_t ended; /* items since then; of jobs, those of the last measurements, */
    double took;    /* for which the host took so many ns */
};

/* Of the work of a host that must end, what was sent first; see carrier_overdue. */
struct pp_far_watch {
    uint64_t id, left;        /* 0: there is none; of a chunk, items without an outcome */
    uint64_t since, flow_then; /* ns when it was first seen so; bytes that had come and gone */
    uint64_t flow, flowed;    /* the same at the last look; ns when they last grew */
    uint64_t looked;          /* ns; the last look */
    bool has_kept;            /* the host was lost because it kept it */
};

/* How long after a loss the host is tried again, s. failures: those in a row before this one. */
static inline unsigned pp_host_pause(unsigned failures) {
    const unsigned most = 60;
    return failures < 6 ? 1U << failures : most;
}

enum pp_host_phase { PP_HOST_AWAY, PP_HOST_LAUNCHED, PP_HOST_GREETED, PP_HOST_READY, PP_HOST_ENDING, PP_HOST_UNFIT };

struct pp_far_host {
    const struct pp_host_entry *entry;
    uint32_t number;
    enum pp_host_phase phase;
    struct pp_launch launch;
    struct pp_wire wire;
    uint64_t at;        /* ns; AWAY: when to launch it; LAUNCHED, GREETED: when it must be ready */
    uint64_t tick_at;   /* ns */
    uint64_t up_at;     /* ns; when it became ready */
    unsigned failures;  /* in a row */
    bool heard;         /* it has sent any byte since it was launched */
    bool dirty;         /* something waits to be written */
    uint32_t cpus;
    /* Errands. */
    struct pp_errand *errands;
    uint32_t *buckets;
    uint32_t room, free; /* places; the first that is free: 1 + its place */
    uint64_t last, leave, leave_said; /* ids: the last sent; up to which leave was given; and told */
    uint64_t sent, begun;             /* items without and with leave that are not answered */
    struct pp_far_pace tasks, items;
    struct pp_far_watch watch;
    double work;  /* ns that its workers are at a task or item, by what it last said; 0: not known */
    uint64_t said_tasks, said_busy; /* what it last said: of all tasks and items */
    uint64_t ran; /* tasks and items, ever */
    uint64_t traced, traced_to; /* in the trace: number of its last entry; the end of its last span, ns */
    /* What it has been told. */
    unsigned char *functions; /* a bit a number */
    struct pp_far_job jobs[PP_JOBS_KNOWN];
    struct pp_far_fold folds[PP_FOLDS_KNOWN];
    struct pp_far_context streams[PP_STREAMS_KNOWN];
    uint16_t *contexts; /* a stack of free numbers of tasks' contexts */
    uint32_t contexts_free;
};

/* A function of the program, as nodes find it. */
struct pp_far_function {
    const void *address;
    uint32_t number; /* 0: it cannot travel */
};

/* The job that the carrier is in. */
struct pp_carried_job {
    const struct pp_job_plan *plan; /* NULL: none */
    uint64_t ticket;
    uint32_t entry;
    uint64_t visit;
    uint32_t function;
    uint32_t out;                /* parcels that hosts have */
    struct pp_parcel *waiting;   /* that a lost host had not begun */
    uint64_t turn, turn_ends_at; /* ns; how long it is worked on before others get their turn */
    uint64_t ended_at;           /* ns; when its turn ended; 0: it has not */
    uint64_t forgets_at;         /* ns; when hosts are next to forget jobs that are over */
    uint64_t used_up[PP_JOB_TABLE]; /* ticket in each entry of which nothing is left, or that cannot travel */
    uint64_t seen[PP_JOB_TABLE], seen_at[PP_JOB_TABLE]; /* ticket in each entry, and since when (ns) */
};

struct pp_carrier {
    struct pp_claimer claimer;
    struct pp_shared *shared;
    const struct pool_options *options;
    const struct pp_carrier_setup *setup;
    int task_pipe, bell, nudge; /* task_pipe and nudge: read ends */
    struct pp_far_host *hosts;
    uint32_t count, up, launching; /* hosts: all; ready; between launch and READY */
    uint64_t awaited_until;        /* ns; for so long pool_create() may wait for host_min hosts */
    struct pp_setup message;       /* SETUP, the same for all */
    char build[2 * PP_MODULE_ID + 1];
    struct pp_far_function *functions; /* a table by hash */
    uint32_t function_count;
    uint64_t *waiting; /* tickets that a lost host had not begun */
    size_t waiting_count, waiting_room;
    struct pp_carried_job job;
    struct pp_backoff looks;
    bool must_ring, nudged, closing, is_asleep;
    bool has_kept; /* stderr was told that something cannot travel */
    uint64_t offered_at; /* ns; when tickets were last offered to workers of this host */
    uint64_t ticks_at;   /* ns; when a wire must be looked after next */
    unsigned char *piece; /* room for what is put together */
    size_t piece_room;
    struct pp_far_output *outputs; /* [2] */
};

/* ---- carrier_functions.c */

bool pp_functions_make(struct pp_carrier *c);
/* Room of so many bytes, until the next call; NULL: there is no memory. */
unsigned char *pp_carrier_room(struct pp_carrier *c, size_t size);
/* Whether so much memory lies in what the pool's processes share. */
static inline bool pp_carrier_reaches(const struct pp_carrier *c, const void *at, size_t size) {
    uintptr_t begin = (uintptr_t)c->shared->base, address = (uintptr_t)at;
    return address >= begin && size <= c->shared->size && address - begin <= c->shared->size - size;
}
/* The number of the function, by which hosts know it; 0: it cannot travel. */
uint32_t pp_carrier_function(struct pp_carrier *c, const void *function);
/* The ticket of the job that has this entry of the job table; 0: none. */
static inline uint64_t pp_job_in(const struct pp_carrier *c, uint32_t entry) {
    return atomic_load_explicit(&c->shared->job_table[entry], memory_order_acquire);
}
/* What the host has been told of the job; ticket 0: a free place. NULL: nothing, or there is none. */
struct pp_far_job *pp_known_job(struct pp_far_host *host, uint64_t ticket);
uint32_t pp_known_number(const struct pp_far_host *host, const struct pp_far_job *known);
/* The host forgets jobs that are over, and of which all is answered. */
void pp_known_jobs_forget(struct pp_carrier *c, struct pp_far_host *host);
/* A place for one more job: one that is free, or that of a job which is not worked on just now. NULL: none. */
struct pp_far_job *pp_known_job_place(const struct pp_carrier *c, struct pp_far_host *host);

struct pp_baggage;
/* Tells the host of the task's context, if it does not know it. The host has a number for it. */
bool pp_host_needs_context(struct pp_far_host *host, struct pp_errand *errand, struct pp_baggage *b);
/* The task with that context was answered. */
void pp_known_context_end(struct pp_far_host *host, uint16_t context);
/* The host forgets contexts that no task there has had for a while. */
void pp_known_contexts_forget(struct pp_far_host *host, uint64_t now);

/* ---- carrier_hosts.c */

bool pp_hosts_make(struct pp_carrier *c);
/* Launches what is due, and gives up what is late. Returns when to look again, ns. */
uint64_t pp_hosts_look(struct pp_carrier *c, uint64_t now);
/* Something may be written to the host. */
void pp_host_write(struct pp_carrier *c, struct pp_far_host *host);
/* The host is lost, for the reason that its wire has. */
void pp_host_lost(struct pp_carrier *c, struct pp_far_host *host);
/* Ends its launcher and its connection. The phase stays. */
void pp_host_close(struct pp_carrier *c, struct pp_far_host *host);
/* It has sent something, which may be its greeting; it says READY. */
void pp_host_greet(struct pp_carrier *c, struct pp_far_host *host);
void pp_host_become_ready(struct pp_carrier *c, struct pp_far_host *host, const struct pp_message *message);
/* Whether it takes work. */
static inline bool pp_host_is_up(const struct pp_far_host *host) {
    return host->phase == PP_HOST_READY && !host->wire.lost;
}

/* ---- carrier_answers.c */

/* Something may be read from the host. */
void pp_host_read(struct pp_carrier *c, struct pp_far_host *host);

/* ---- carrier_say.c */

/* Sends a message; without memory, the host is lost. */
bool pp_host_send(struct pp_far_host *host, uint16_t kind, uint64_t id, const struct iovec *parts, int count);
/* Tells the host of the function, if it does not know it. */
bool pp_host_needs_function(struct pp_carrier *c, struct pp_far_host *host, uint32_t number, const void *function);
/* The text of a failure there: "on w2: …". room: PP_MESSAGE bytes. */
void pp_host_text(const struct pp_far_host *host, char *room, const char *text, size_t size, int error);
void pp_host_lost_text(const struct pp_far_host *host, char *room);
/* The caller is told of the host's state (POOL_HOST_…), or stderr is. */
void pp_host_tell(struct pp_carrier *c, struct pp_far_host *host, uint32_t state, const char *reason);

/* Stderr is told, once, that a task or map cannot travel. */
void pp_carrier_keeps(struct pp_carrier *c, const char *what);

/* ---- carrier_errands.c */

struct pp_errand *pp_errand_new(struct pp_far_host *host, uint32_t items);
struct pp_errand *pp_errand_find(const struct pp_far_host *host, uint64_t id);
/* It was answered. */
void pp_errand_end(struct pp_far_host *host, struct pp_errand *errand);
/* The host that has least to do for its CPUs and may have more of this kind; NULL: none. */
struct pp_far_host *pp_host_for(struct pp_carrier *c, bool items);
/* How much a host may have with and without leave. */
uint64_t pp_pace_leaves(const struct pp_far_host *host, const struct pp_far_pace *pace);
void pp_pace_note(struct pp_far_pace *pace, uint64_t ended, uint64_t now);
/* The same of items of jobs, for which the host took so many ns by its own clock. */
void pp_pace_told(struct pp_far_pace *pace, uint64_t ended, uint64_t took, uint64_t now);
/* Gives hosts leave to begin what they have. */
void pp_leaves_give(struct pp_carrier *c, struct pp_far_host *host, uint64_t now);

/* ---- carrier_overdue.c */

/* Whether the host is lost now, since it does not answer what must have ended long ago. */
bool pp_host_is_overdue(struct pp_carrier *c, struct pp_far_host *host, uint64_t now);

/* ---- carrier_trace.c: if there is a trace */

/* So many items of the errand, or its task, were answered, and are not noted yet. */
void pp_host_trace_answer(const struct pp_carrier *c, struct pp_far_host *host, const struct pp_errand *errand,
                          uint32_t items);
/* The host is lost with what it has. */
void pp_host_trace_loss(const struct pp_carrier *c, struct pp_far_host *host);
/* The caller is told of its state. */
void pp_host_trace_state(const struct pp_carrier *c, const struct pp_far_host *host, uint32_t state);

/* ---- carrier_tasks.c */

/* Takes tickets while hosts can have more. Returns whether it took any. */
bool pp_tasks_take(struct pp_carrier *c);
void pp_task_done(struct pp_carrier *c, struct pp_far_host *host, struct pp_errand *errand,
                  const struct pp_message *message);
void pp_task_failed(struct pp_carrier *c, struct pp_far_host *host, struct pp_errand *errand,
                    const struct pp_failure_message *failure);
void pp_task_host_lost(struct pp_carrier *c, struct pp_far_host *host, struct pp_errand *errand);
/* Something was killed: finds it. */
void pp_tasks_look_for_killed(struct pp_carrier *c);
/* Lets workers of this host that have nothing to do have what no host has begun. */
void pp_tasks_offer(struct pp_carrier *c, uint64_t now);
/* No host is up: the caller gets the tickets back. */
void pp_tasks_give_back(struct pp_carrier *c);

/* ---- carrier_jobs.c */

/* Looks for jobs, claims chunks of one, leaves it. Returns whether anything has moved. */
bool pp_jobs_take(struct pp_carrier *c, uint64_t now, uint64_t *look_at);
void pp_chunk_items(struct pp_carrier *c, struct pp_far_host *host, struct pp_errand *errand,
                    const struct pp_items_message *items);
void pp_chunk_item_failed(struct pp_carrier *c, struct pp_far_host *host, struct pp_errand *errand,
                          const struct pp_failure_message *failure);
/* failure: NULL: the chunk has ended as it should. */
void pp_chunk_ended(struct pp_carrier *c, struct pp_far_host *host, struct pp_errand *errand,
                    const struct pp_failure_message *failure);
void pp_chunk_host_lost(struct pp_carrier *c, struct pp_far_host *host, struct pp_errand *errand);
void pp_jobs_look_for_killed(struct pp_carrier *c);

/* ---- carrier_folds.c */

struct pp_recipe;
/* Whether it is one of the functions that a reduction's tasks have. */
bool pp_is_fold(const void *function);
/* The message has what the task's description says; it becomes that of a reduction's task, save `job`. Returns false if
 * the task cannot travel. What is returned of a stale ticket means nothing. */
bool pp_fold_pack(struct pp_carrier *c, struct pp_baggage *b);
/* Tells the host of the reduction, if it does not know it. Returns its number; 0: not now. */
uint32_t pp_fold_tell(struct pp_carrier *c, struct pp_far_host *host, const struct pp_recipe *recipe);
/* A task of it was sent (1) or answered (-1). */
void pp_fold_count(struct pp_far_host *host, uint32_t job, int more);
/* A task has failed at this item; of a leaf, the caller is told so. */
void pp_fold_note_failure(struct pp_carrier *c, const struct pp_desc *desc, uint64_t position);
/* The answer may tell which items of a leaf have failed: the caller is told so. *size: of the answer; receives that of
 * the result. Returns false if no host may say that. */
bool pp_fold_take_skipped(struct pp_carrier *c, const struct pp_far_host *host, const struct pp_desc *desc,
                          const unsigned char *data, uint64_t *size);

/* ---- carrier_output.c */

bool pp_outputs_make(struct pp_carrier *c);
/* Lines of tasks for the program's stdout (1) or stderr (2), from this host. */
void pp_output_add(struct pp_carrier *c, const struct pp_far_host *host, uint64_t which, const unsigned char *text,
                   size_t size);
/* Writes what can be written without waiting. Returns whether something is left. */
bool pp_outputs_write(struct pp_carrier *c);

#endif
