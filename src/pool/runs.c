#include "pool/runs.h"

#include <string.h>

#include "base/sys.h"

#define LOOKS 16 /* runs of a list that are tried before longer ones are cut */
#define FEWEST_RUNS 64U
#define WORTH_A_CALL 4U /* runs of 1 << WORTH_A_CALL pages or more go back to the system */

void pp_runs_begin(struct pp_runs *runs, char *base, size_t size) {
    memset(runs, 0, sizeof *runs);
    runs->base = base;
    runs->pages = size / PP_PAGE > UINT32_MAX - 1 ? UINT32_MAX - 1 : (uint32_t)(size / PP_PAGE);
}

void pp_runs_end(struct pp_runs *runs) {
    pp_release(runs->table);
    pp_release(runs->buckets);
    memset(runs, 0, sizeof *runs);
}

/* ---- the table of runs */

static uint32_t *bucket_of(const struct pp_runs *runs, uint32_t page) {
    uint32_t mixed = page * 0x9e3779b1U;
    return &runs->buckets[(mixed ^ mixed >> 16) & (runs->bucket_count - 1)];
}

uint32_t pp_runs_find(const struct pp_runs *runs, uint32_t page) {
    if (!runs->buckets) return 0;
    uint32_t run = *bucket_of(runs, page);
    while (run && pp_run_of(runs, run)->first != page) run = pp_run_of(runs, run)->chain;
    return run;
}

static void chain_used(struct pp_runs *runs, uint32_t run) {
    uint32_t *bucket = bucket_of(runs, pp_run_of(runs, run)->first);
    pp_run_of(runs, run)->chain = *bucket;
    *bucket = run;
}

static void unchain_used(struct pp_runs *runs, uint32_t run) {
    uint32_t *link = bucket_of(runs, pp_run_of(runs, run)->first);
    while (*link != run) link = &pp_run_of(runs, *link)->chain;
    *link = pp_run_of(runs, run)->chain;
}

/* Makes room for twice as many runs. */
static bool grow_table(struct pp_runs *runs) {
    if (runs->room > UINT32_MAX / 4) return false;
    uint32_t room = runs->room ? 2 * runs->room : FEWEST_RUNS;
    uint32_t *buckets = pp_zalloc(room, sizeof *buckets);
    struct pp_run *table = buckets ? pp_realloc(runs->table, room * sizeof *table) : NULL;
    if (!table) {
        pp_release(buckets);
        return false;
    }
    pp_release(runs->buckets);
    runs->table = table;
    runs->room = runs->bucket_count = room;
    runs->buckets = buckets;
    for (uint32_t run = 1; run <= runs->known; run++)
        if (pp_run_of(runs, run)->kind >= PP_RUN_USED) chain_used(runs, run);
    return true;
}

/* Makes sure that new_run() can be called once. */
static bool has_spare(struct pp_runs *runs) {
    return runs->spare || runs->known < runs->room || grow_table(runs);
}

/* Returns a run of these pages that comes after the run `before`, on no list. */
static uint32_t new_run(struct pp_runs *runs, uint32_t first, uint32_t length, uint32_t before, enum pp_run_kind kind) {
    uint32_t run = runs->spare;
    if (run) runs->spare = pp_run_of(runs, run)->next;
    else run = ++runs->known;
    struct pp_run *r = pp_run_of(runs, run);
    *r = (struct pp_run){.first = first, .length = length, .before = before, .kind = (uint8_t)kind, .touched = true};
    r->after = before ? pp_run_of(runs, before)->after : 0;
    if (before) pp_run_of(runs, before)->after = run;
    if (r->after) pp_run_of(runs, r->after)->before = run;
    else runs->last = run;
    return run;
}

static void drop_run(struct pp_runs *runs, uint32_t run) {
    struct pp_run *r = pp_run_of(runs, run);
    if (r->before) pp_run_of(runs, r->before)->after = r->after;
    if (r->after) pp_run_of(runs, r->after)->before = r->before;
    else runs->last = r->before;
    r->kind = PP_RUN_SPARE;
    r->next = runs->spare;
    runs->spare = run;
}

/* ---- lists */

void pp_run_list_add(struct pp_runs *runs, uint32_t *list, uint32_t run) {
    struct pp_run *r = pp_run_of(runs, run);
    r->prev = 0;
    r->next = *list;
    if (*list) pp_run_of(runs, *list)->prev = run;
    *list = run;
}

void pp_run_list_remove(struct pp_runs *runs, uint32_t *list, uint32_t run) {
    const struct pp_run *r = pp_run_of(runs, run);
    if (r->prev) pp_run_of(runs, r->prev)->next = r->next;
    else *list = r->next;
    if (r->next) pp_run_of(runs, r->next)->prev = r->prev;
}

static unsigned log2_of(uint32_t length) {
    unsigned log = 0;
    while (length >>= 1) log++;
    return log;
}

static uint32_t *list_of(struct pp_runs *runs, uint32_t run) {
    return &runs->free_runs[log2_of(pp_run_of(runs, run)->length)];
}

/* ---- pages that go back to the system */

/* A worker may still write to what was freed: one that is being killed, or a task with a stray pointer. The page that
 * it writes to is then in memory again until it is given or the pool ends, and harms as little as a write into freed
 * memory ever does. */
void pp_runs_give_back(struct pp_runs *runs) {
    for (unsigned log = WORTH_A_CALL; log < PP_RUN_LENGTHS; log++)
        for (uint32_t run = runs->free_runs[log]; run; run = pp_run_of(runs, run)->next) {
            struct pp_run *r = pp_run_of(runs, run);
            if (r->touched && !pp_give_back(runs->base + r->first * PP_PAGE, r->length * PP_PAGE)) return;
            r->touched = false;
        }
    if (runs->touched - runs->frontier < 1U << WORTH_A_CALL) return;
    if (pp_give_back(runs->base + runs->frontier * PP_PAGE, (runs->touched - runs->frontier) * PP_PAGE))
        runs->touched = runs->frontier;
}

/* ---- runs of pages */

/* Joins the free run with the one after it, and forgets that. */
static void join_next(struct pp_runs *runs, uint32_t run) {
    struct pp_run *r = pp_run_of(runs, run);
    const struct pp_run *after = pp_run_of(runs, r->after);
    r->length += after->length;
    r->touched |= after->touched;
    drop_run(runs, r->after);
}

/* The run is on no list and in no chain. */
static void join_free(struct pp_runs *runs, uint32_t run) {
    struct pp_run *r = pp_run_of(runs, run);
    r->kind = PP_RUN_FREE;
    r->touched = true;
    if (r->after && pp_run_of(runs, r->after)->kind == PP_RUN_FREE) {
        pp_run_list_remove(runs, list_of(runs, r->after), r->after);
        join_next(runs, run);
    }
    if (r->before && pp_run_of(runs, r->before)->kind == PP_RUN_FREE) {
        run = r->before;
        pp_run_list_remove(runs, list_of(runs, run), run);
        join_next(runs, run);
        r = pp_run_of(runs, run);
    }
    if (r->after == 0) {
        runs->frontier = r->first;
        drop_run(runs, run);
    } else {
        pp_run_list_add(runs, list_of(runs, run), run);
    }
}

/* A free run of at least `length` pages, or 0. */
static uint32_t find_free(const struct pp_runs *runs, uint32_t length) {
    unsigned log = log2_of(length);
    uint32_t run = runs->free_runs[log];
    for (int looks = 0; run && looks < LOOKS; run = pp_run_of(runs, run)->next, looks++)
        if (pp_run_of(runs, run)->length >= length) return run;
    while (++log < PP_RUN_LENGTHS)
        if (runs->free_runs[log]) return runs->free_runs[log];
    return 0;
}

uint32_t pp_runs_take(struct pp_runs *runs, uint32_t length) {
    if (!has_spare(runs)) return 0;
    uint32_t run = find_free(runs, length);
    if (run) {
        pp_run_list_remove(runs, list_of(runs, run), run);
        struct pp_run *r = pp_run_of(runs, run);
        uint32_t left = r->length - length;
        r->length = length;
        if (left) {
            uint32_t rest = new_run(runs, r->first + length, left, run, PP_RUN_FREE);
            pp_run_of(runs, rest)->touched = r->touched;
            pp_run_list_add(runs, list_of(runs, rest), rest);
        }
    } else {
        if (length > runs->pages - runs->frontier) return 0;
        run = new_run(runs, runs->frontier, length, runs->last, PP_RUN_USED);
        pp_run_of(runs, run)->touched = runs->frontier < runs->touched;
        runs->frontier += length;
    }
    pp_run_of(runs, run)->kind = PP_RUN_USED;
    chain_used(runs, run);
    return run;
}

bool pp_runs_has(const struct pp_runs *runs, uint32_t length) {
    return length <= runs->pages - runs->frontier || find_free(runs, length);
}

void pp_runs_free(struct pp_runs *runs, uint32_t run) {
    unchain_used(runs, run);
    join_free(runs, run);
}

uint32_t pp_runs_cut(struct pp_runs *runs, uint32_t run, uint32_t length) {
    if (!has_spare(runs)) return 0;
    struct pp_run *r = pp_run_of(runs, run);
    uint32_t left = r->length - length;
    uint32_t rest = new_run(runs, r->first + length, left, run, PP_RUN_USED);
    pp_run_of(runs, run)->length = length;
    join_free(runs, rest);
    return left;
}
