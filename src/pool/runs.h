/* Runs of pages of a range of memory: which are used, which are free. Callers: heap.c, for which each used run is a
 * block or a page that small blocks share.
 *
 * A run of any length costs the same. Free runs are kept by the power of two of their length, and joined when they are
 * freed; used ones are found by their first page. All of that is in private memory: no page of the range is touched.
 *
 * Invariant: every page below `frontier` belongs to exactly one run; pages from `touched` on and those of a run that is
 * not touched are zero, unless a task has written where it must not. Always under the pool's lock. */
#ifndef PP_RUNS_H
#define PP_RUNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PP_PAGE ((size_t)4096)
#define PP_RUN_LENGTHS 32 /* powers of two of pages */

enum pp_run_kind { PP_RUN_SPARE, PP_RUN_FREE, PP_RUN_USED, PP_RUN_SHARED };

struct pp_run {
    uint32_t first, length; /* pages */
    uint32_t before, after; /* its neighbours by address; the run after the last is 0 */
    uint32_t next, prev;    /* in the list it is on */
    uint32_t chain;         /* of a used run: the next in its bucket */
    uint32_t counts;        /* of a used run: its pages that count against the heap's budget */
    uint64_t used;          /* of a shared page: which of its blocks are in use */
    uint8_t kind, size_class;
    bool touched;           /* its pages may hold anything; else they are zero, and the system has them */
};

struct pp_runs {
    char *base;
    uint32_t pages, frontier, touched;
    /* The runs are named by their number in this table, + 1; 0: none. */
    struct pp_run *table;
    uint32_t known, room, spare;           /* runs ever used; runs that there is room for; first that is not in use */
    uint32_t last;                         /* the last run by its address */
    uint32_t *buckets, bucket_count;       /* used runs by their first page: the first of each chain */
    uint32_t free_runs[PP_RUN_LENGTHS];    /* first of each list */
};

void pp_runs_begin(struct pp_runs *runs, char *base, size_t size);
void pp_runs_end(struct pp_runs *runs);
static inline struct pp_run *pp_run_of(const struct pp_runs *runs, uint32_t run) {
    return &runs->table[run - 1];
}
static inline char *pp_run_base(const struct pp_runs *runs, uint32_t run) {
    return runs->base + pp_run_of(runs, run)->first * PP_PAGE;
}
/* Returns the used run that begins at this page; 0: none does. */
uint32_t pp_runs_find(const struct pp_runs *runs, uint32_t page);
/* Returns a used run of that length; 0: no memory, or not so many pages together. Its `touched` says whether its first
 * page may have been. */
uint32_t pp_runs_take(struct pp_runs *runs, uint32_t length);
/* Whether pp_runs_take() would find so many pages together. */
bool pp_runs_has(const struct pp_runs *runs, uint32_t length);
/* Frees a used run, which is on no list. */
void pp_runs_free(struct pp_runs *runs, uint32_t run);
/* Frees the pages of a used run beyond the first `length`. Returns how many; 0: no memory. */
uint32_t pp_runs_cut(struct pp_runs *runs, uint32_t run, uint32_t length);
/* Gives long free runs back to the system, which has zeros for them then. */
void pp_runs_give_back(struct pp_runs *runs);

/* Lists of runs, by their first: of each length here, of shared pages with room in the heap. */
void pp_run_list_add(struct pp_runs *runs, uint32_t *list, uint32_t run);
void pp_run_list_remove(struct pp_runs *runs, uint32_t *list, uint32_t run);

#endif
