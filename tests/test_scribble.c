/* The scribble matrix: a task, or an item of a job, overwrites one or two of the words that it can reach with one of
 * several values each, and then ends in one of several ways. In every case the program's calls come back within
 * BOUND ms; items that did nothing wrong end with their result, or with a code that says that they have none; and
 * afterwards the pool does its work with all of its workers.
 *
 * Each case runs in a child of its own, several of them at a time, for most of a case is waiting. By default a few
 * dozen are tried. `test_scribble all` tries all with one word and three samples of each pair of words; `test_scribble
 * FIRST LAST STEP` tries those of `all` with these numbers, and `test_scribble FIRST` one, and says what came of it. */
#include "support.h"

#include <signal.h>
#include <sys/wait.h>

#include "shared/plan.h"
#include "shared/record.h"
#include "shared/shared.h"
#include "shared/state.h"
#include "shared/ticket.h"
#include "worker/task.h"

enum { WORKERS = 2, INNOCENT = 8, ITEMS = 20, GUILTY_ITEM = 7, FRESH = 100 };
enum { BOUND = 25000, LEFT_HANGING = 2500, TIMEOUT = 1000, LONG = 300, AT_A_TIME = 12, CASE_BOUND = 120000 };

/* ---- what is overwritten */

enum word {
    STATE, CODE, CURRENT, CLAIMED, JOB, ITEM, BEGIN, END, PROGRESS, SINGLE, UNTIL, JUDGED, REACH,
    SHIFT, RETIRED, STARTED, BUSY_SINCE, DONE_TAIL, DONE_ENTRY, HEAD, ASLEEP, WOKEN, PARKINGS, CURSOR, MARK,
    ITEM_FAILED,
    WORDS
};
static const char *const word_names[WORDS] = {
    "state", "code", "current", "claimed", "job", "item", "begin", "end", "progress", "single", "until", "judged",
    "bound", "shift", "retired", "started", "busy_since", "done_tail", "done entry", "head", "asleep", "woken",
    "parkings", "cursor", "mark", "item's code"};

enum value { ZERO, ONES, NEIGHBOURS, OTHERS_STATE, OTHER_GENERATION, RANDOM, NOT_STARTED, FINISHED, VALUES };
static const char *const value_names[VALUES] = {"0", "all ones", "its neighbour's", "another worker's state word",
                                                "another generation", "random", "not started", "finished"};

enum ending_kind { RETURNS, FAILS, HANGS, CRASHES, EXITS, IS_KILLED, TIMES_OUT, ENDINGS };
static const char *const ending_names[ENDINGS] = {"returns", "fails", "hangs", "crashes", "exits", "is killed",
                                                  "times out"};

struct scribble {
    bool in_job;
    size_t chunk;
    unsigned words; /* 1 or 2 */
    enum word word[2];
    enum value value[2];
    enum ending_kind ending;
    uint64_t random;
};

/* Where the words of a task or an item lie, and those of its neighbour. */
struct places {
    const struct pp_shared *memory;
    struct pp_record *own, *other;
    uint32_t worker, slot;
    const struct pp_job_plan *plan; /* NULL: a task */
    uint64_t ticket, position;
};

static struct places places_here(bool in_job) {
    const struct pp_shared *memory = pp_call_here()->shared;
    struct places at = {.memory = memory};
    while ((pid_t)atomic_load(&memory->control->pids[at.worker]) != getpid()) at.worker++;
    at.own = &memory->records[at.worker];
    at.other = &memory->records[(at.worker + 1) % WORKERS];
    at.ticket = in_job ? atomic_load(&at.own->job) : atomic_load(&at.own->current);
    at.slot = in_job ? pp_ticket_slot(at.ticket) : (uint32_t)(pp_call_here()->desc - memory->descs);
    at.position = atomic_load(&at.own->progress);
    if (in_job) at.plan = memory->descs[at.slot].in;
    return at;
}

struct target {
    void *own;
    const void *neighbour;
    size_t size; /* 0: there is no such word */
};

#define FIELD(name) return (struct target){&at->own->name, &at->other->name, sizeof at->own->name}

static struct target find(const struct places *at, enum word word) {
    struct pp_status *status = at->memory->status;
    struct pp_outcome *outcome = &at->memory->outcomes[at->slot];
    const struct pp_job_plan *plan = at->plan;
    uint64_t block = plan ? at->position / plan->block : 0;
    switch (word) {
    case STATE: return (struct target){&outcome->state, &at->memory->outcomes[at->slot ^ 1].state, 8};
    case CODE: return (struct target){&outcome->code, &at->memory->outcomes[at->slot ^ 1].code, 8};
    case CURRENT: FIELD(current);
    case CLAIMED: return (struct target){&at->own->claimed[0], &at->other->claimed[0], 8};
    case JOB: FIELD(job);
    case ITEM: FIELD(item);
    case BEGIN: FIELD(begin);
    case END: FIELD(end);
    case PROGRESS: FIELD(progress);
    case SINGLE: FIELD(single);
    case UNTIL: FIELD(until);
    case JUDGED: FIELD(judged);
    case REACH: FIELD(bound);
    case SHIFT: FIELD(shift[0]);
    case RETIRED: FIELD(retired);
    case STARTED: FIELD(started);
    case BUSY_SINCE: FIELD(busy_since);
    case DONE_TAIL: FIELD(done_tail);
    case DONE_ENTRY: {
        uint64_t tail = atomic_load(&at->own->done_tail);
        return (struct target){pp_done_entry(at->memory, at->worker, tail),
                               pp_done_entry(at->memory, (at->worker + 1) % WORKERS, tail), 8};
    }
    case HEAD: return (struct target){&status->head, &at->memory->control->tail, 8};
    case ASLEEP: return (struct target){&status->asleep[0], &status->asleep[1], 8};
    case WOKEN: return (struct target){&status->woken, &status->parkings, 8};
    case PARKINGS: return (struct target){&status->parkings, &status->woken, 8};
    case CURSOR:
        if (!plan) return (struct target){0};
        return (struct target){&plan->cursors[0].word, &plan->cursors[plan->regions - 1].word, 8};
    case MARK:
        if (!plan) return (struct target){0};
        return (struct target){&plan->marks[block], &plan->marks[block ? block - 1 : block + 1], 1};
    case ITEM_FAILED:
        if (!plan) return (struct target){0};
        return (struct target){&plan->failed[at->position], &plan->failed[at->position ? at->position - 1 : 1], 1};
    default: return (struct target){0};
    }
}

/* What a word that is overwritten with `value` then holds. */
static uint64_t choose(const struct places *at, enum word word, const struct target *target, enum value value,
                       uint64_t random) {
    uint64_t own = 0, neighbours = 0;
    memcpy(&own, target->own, target->size);
    memcpy(&neighbours, target->neighbour, target->size);
    uint32_t generation = pp_ticket_generation(at->ticket), other = (at->worker + 1) % WORKERS;
    uint32_t life = atomic_load(&at->memory->control->lives[at->worker]);
    switch (value) {
    case ZERO: return 0;
    case ONES: return UINT64_MAX;
    case NEIGHBOURS: return neighbours;
    case OTHERS_STATE: return pp_state(generation, PP_RUNNING, other, atomic_load(&at->memory->control->lives[other]));
    case OTHER_GENERATION: return own + ((uint64_t)1 << (target->size == 8 ? 32 : 0));
    case RANDOM: return random;
    case NOT_STARTED: return word == STATE ? pp_state(generation, PP_PENDING, 0, 0) : own + 1;
    case FINISHED:
        if (word == STATE) return pp_state(generation, PP_DONE, at->worker, life);
        return word == ITEM ? pp_state(generation, PP_FREE, at->worker, life) : own - 1;
    default: return 0;
    }
}

/* ---- the guilty and the innocent */

/* Shared with the workers. */
struct stage {
    struct scribble scribble;
    atomic_int arrived, met;
};

static int guilty(struct stage *stage) {
    const struct scribble *s = &stage->scribble;
    struct places at = places_here(s->in_job);
    struct target targets[2];
    uint64_t values[2];
    for (unsigned i = 0; i < s->words; i++) {
        targets[i] = find(&at, s->word[i]);
        values[i] = choose(&at, s->word[i], &targets[i], s->value[i], scramble(s->random + i));
    }
    for (unsigned i = 0; i < s->words; i++) memcpy(targets[i].own, &values[i], targets[i].size);
    atomic_fetch_add(&stage->arrived, 1);
    switch (s->ending) {
    case RETURNS: return 0;
    case FAILS: return 3;
    case CRASHES: raise(SIGSEGV); break;
    case EXITS: _exit(5);
    default: break;
    }
    for (;;) pause();
}

/* in: the stage, and a number. */
struct argument {
    struct stage *stage;
    long number;
};

static int guilty_task(const void *in, void *out) {
    const struct argument *argument = in;
    *(long *)out = argument->number;
    return guilty(argument->stage);
}

static int innocent_task(const void *in, void *out) {
    const struct argument *argument = in;
    sleep_ms(argument->number == 0 ? LONG : 2);
    *(long *)out = argument->number * argument->number + 1;
    return 0;
}

static int item_task(const void *in, void *out) {
    const struct argument *argument = in;
    if (argument->number == GUILTY_ITEM) return guilty_task(in, out);
    sleep_ms(2);
    *(long *)out = argument->number * argument->number + 1;
    return 0;
}

/* Ends when all workers are in it at the same time. */
static int meeting_task(const void *in, void *out) {
    const struct argument *argument = in;
    (void)out;
    atomic_fetch_add(&argument->stage->met, 1);
    for (int64_t start = now_ms(); atomic_load(&argument->stage->met) < WORKERS; sleep_ms(1))
        if (now_ms() - start > BOUND) return 1;
    return 0;
}

/* ---- one case */

enum verdict {
    FINE, GUILTY_OPEN, INNOCENT_OPEN, WRONG_SUCCESS, WRONG_CODE, REFUSED, WORKER_LOST, FRESH_WRONG, END_SLOW, CRASHED,
    HUNG, VERDICTS
};
static const char *const verdict_names[VERDICTS] = {
    "fine", "the guilty did not end", "an innocent did not end", "wrong success", "wrong code", "refused",
    "a worker was lost", "fresh tasks went wrong", "the pool's end took long", "the caller crashed", "a call hung"};

struct report {
    _Atomic unsigned long lost, innocent, killed_later, runs;
};
static struct report *report;

static bool may_be_lost(int code) {
    return code == POOL_ECORRUPT || code == POOL_EDIED;
}

static enum verdict judge(int code, long number, long result, bool cancelled) {
    atomic_fetch_add(&report->innocent, 1);
    if (code == 0) return result == number * number + 1 ? FINE : WRONG_SUCCESS;
    atomic_fetch_add(&report->lost, 1);
    return may_be_lost(code) || (cancelled && code == POOL_ECANCELLED) ? FINE : WRONG_CODE;
}

/* Waits for the end of what the guilty is part of. */
static bool end_guilty(struct stage *stage, struct future *future, bool *killed) {
    enum ending_kind ending = stage->scribble.ending;
    *killed = false;
    if (ending == HANGS && future_wait(future, LEFT_HANGING) == 0) return true;
    if (ending == HANGS || ending == IS_KILLED) {
        for (int64_t start = now_ms(); atomic_load(&stage->arrived) == 0 && now_ms() - start < BOUND;) sleep_ms(1);
        if (ending == HANGS) atomic_fetch_add(&report->killed_later, 1);
        *killed = future_kill(future) == 0;
    }
    return future_wait(future, BOUND) == 0;
}

static struct argument arguments[ITEMS];
static long results[ITEMS];
static int status[ITEMS];

static int start(struct pool *pool, struct stage *stage, struct future **futures, struct future **job) {
    const struct scribble *s = &stage->scribble;
    int timeout = s->ending == TIMES_OUT ? TIMEOUT : 0;
    for (long i = 0; i < ITEMS; i++) arguments[i] = (struct argument){stage, i};
    struct pool_job items = {.fn = item_task, .in = arguments, .in_size = sizeof *arguments, .out = results,
                             .out_size = sizeof *results, .count = ITEMS, .chunk = s->chunk, .status = status,
                             .timeout = timeout};
    if (s->in_job && pool_map_async(pool, &items, job)) return REFUSED;
    for (long i = 0; i < INNOCENT; i++) {
        bool is_guilty = !s->in_job && i == INNOCENT / 2;
        struct pool_task task = {.fn = is_guilty ? guilty_task : innocent_task, .in = &arguments[i],
                                 .in_size = sizeof *arguments, .out_size = sizeof(long),
                                 .timeout = is_guilty ? timeout : 0};
        if (pool_submit(pool, &task, &futures[i])) return REFUSED;
    }
    return FINE;
}

static enum verdict end_innocent(const struct scribble *s, struct future **futures, bool killed) {
    enum verdict worst = FINE;
    for (long i = 0; i < INNOCENT; i++) {
        long result = -1;
        if (!s->in_job && i == INNOCENT / 2) continue;
        int code = future_get(futures[i], &result, BOUND);
        if (code == POOL_ETIMEDOUT) return INNOCENT_OPEN;
        enum verdict verdict = judge(code, i, result, false);
        if (verdict) worst = verdict;
    }
    for (long i = 0; s->in_job && i < ITEMS; i++) {
        enum verdict verdict = i == GUILTY_ITEM ? FINE : judge(status[i], i, results[i], killed);
        if (verdict) worst = verdict;
    }
    return worst;
}

/* The pool does its work, with all its workers. */
static enum verdict use_all(struct pool *pool, struct stage *stage) {
    struct argument argument = {stage, 0};
    struct future *meeting[WORKERS];
    for (int i = 0; i < WORKERS; i++) {
        struct pool_task task = {.fn = meeting_task, .in = &argument, .in_size = sizeof argument};
        if (pool_submit(pool, &task, &meeting[i])) return REFUSED;
    }
    for (int i = 0; i < WORKERS; i++) {
        int code = future_get(meeting[i], NULL, BOUND);
        if (code) printf("a meeting that all workers should come to: %s\n", pool_strerror(code));
        if (code) return WORKER_LOST;
    }
    for (int i = 0; i < WORKERS; i++) future_free(meeting[i]);
    static long in[FRESH], out[FRESH];
    for (long i = 0; i < FRESH; i++) in[i] = i, out[i] = -1;
    struct future *futures[FRESH];
    for (long i = 0; i < FRESH; i++) {
        struct pool_task task = {.fn = square_task, .in = &i, .in_size = sizeof i, .out_size = sizeof i};
        if (pool_submit(pool, &task, &futures[i])) return REFUSED;
    }
    for (long i = 0; i < FRESH; i++) {
        long result = -1;
        if (future_get(futures[i], &result, BOUND) || result != i * i) return FRESH_WRONG;
        future_free(futures[i]);
    }
    struct pool_job job = {.fn = square_task, .in = in, .in_size = sizeof *in, .out = out, .out_size = sizeof *out,
                           .count = FRESH};
    if (pool_map(pool, &job)) return FRESH_WRONG;
    for (long i = 0; i < FRESH; i++)
        if (out[i] != i * i) return FRESH_WRONG;
    return FINE;
}

static enum verdict bear(struct pool *pool, struct stage *stage) {
    struct future *futures[INNOCENT], *job = NULL;
    bool killed;
    if (start(pool, stage, futures, &job)) return REFUSED;
    if (!end_guilty(stage, job ? job : futures[INNOCENT / 2], &killed)) return GUILTY_OPEN;
    enum verdict verdict = end_innocent(&stage->scribble, futures, killed);
    if (verdict != INNOCENT_OPEN) {
        enum verdict later = use_all(pool, stage);
        if (!verdict) verdict = later;
    }
    for (int i = 0; i < INNOCENT; i++) future_free(futures[i]);
    future_free(job);
    return verdict;
}

static int run_case(void *argument) {
    struct stage *stage = shared(sizeof *stage);
    stage->scribble = *(const struct scribble *)argument;
    struct pool_options options = test_options(WORKERS);
    struct pool *pool;
    if (pool_create(&options, &pool)) return REFUSED;
    enum verdict verdict = bear(pool, stage);
    int64_t start = now_ms();
    pool_destroy(pool);
    if (!verdict && now_ms() - start > BOUND) verdict = END_SLOW;
    atomic_fetch_add(&report->runs, (unsigned long)atomic_load(&stage->arrived));
    return (int)verdict;
}

/* ---- all cases: by number, first those with one word, then those with two */

enum { SAMPLES = 3, ONE_WORD = 2 * WORDS * VALUES * ENDINGS, PAIRS = WORDS * (WORDS - 1) / 2 };
enum { TWO_WORDS = 2 * PAIRS * SAMPLES * ENDINGS, CASES = ONE_WORD + TWO_WORDS };

static void nth_pair(unsigned n, enum word *first, enum word *second) {
    unsigned a = 0;
    for (; n >= WORDS - 1 - a; a++) n -= WORDS - 1 - a;
    *first = (enum word)a;
    *second = (enum word)(a + 1 + n);
}

static struct scribble nth_case(unsigned n) {
    struct scribble s = {.random = scramble(n + 1), .words = n < ONE_WORD ? 1 : 2};
    s.chunk = s.random % 2;
    if (n >= ONE_WORD) n -= ONE_WORD;
    s.in_job = n % 2;
    n /= 2;
    s.ending = (enum ending_kind)(n % ENDINGS);
    n /= ENDINGS;
    if (s.words == 1) {
        s.value[0] = (enum value)(n % VALUES);
        s.word[0] = (enum word)(n / VALUES);
        return s;
    }
    nth_pair(n / SAMPLES, &s.word[0], &s.word[1]);
    s.value[0] = (enum value)(s.random / 2 % VALUES);
    s.value[1] = (enum value)(s.random / 2 / VALUES % VALUES);
    return s;
}

/* Words of jobs alone have no case with a task. */
static bool makes_sense(const struct scribble *s) {
    for (unsigned i = 0; i < s->words; i++)
        if (!s->in_job && s->word[i] >= CURSOR) return false;
    return true;
}

static void tell(unsigned n, const struct scribble *s, enum verdict verdict, long long took) {
    printf("case %u: %s", n, s->in_job ? s->chunk ? "item of chunk 1" : "item" : "task");
    for (unsigned i = 0; i < s->words; i++) printf(", %s: %s", word_names[s->word[i]], value_names[s->value[i]]);
    printf(", %s: %s after %lld ms\n", ending_names[s->ending], verdict_names[verdict], took);
}

static unsigned first_case, last_case = CASES - 1, step_of_cases;
static bool verbose;

struct running {
    pid_t pid; /* 0: none */
    unsigned number;
    int64_t since;
};

static enum verdict verdict_of(int how) {
    if (WIFEXITED(how) && WEXITSTATUS(how) < CRASHED) return (enum verdict)WEXITSTATUS(how);
    return CRASHED;
}

/* Ends one of the cases that run, if one has ended or takes too long. */
static bool end_one(struct running *running, unsigned counts[VERDICTS]) {
    for (int i = 0; i < AT_A_TIME; i++) {
        struct running *r = &running[i];
        int how = 0;
        if (r->pid == 0) continue;
        bool ended = waitpid(r->pid, &how, WNOHANG) == r->pid;
        if (!ended && now_ms() - r->since < CASE_BOUND) continue;
        enum verdict verdict = ended ? verdict_of(how) : HUNG;
        if (!ended) {
            kill(r->pid, SIGKILL);
            waitpid(r->pid, NULL, 0);
        }
        struct scribble s = nth_case(r->number);
        counts[verdict]++;
        if (verdict != FINE || verbose) tell(r->number, &s, verdict, (long long)(now_ms() - r->since));
        r->pid = 0;
        return true;
    }
    return false;
}

static struct running *free_place(struct running *running) {
    for (int i = 0; i < AT_A_TIME; i++)
        if (running[i].pid == 0) return &running[i];
    return NULL;
}

TEST_CASE(all_tasks_end_and_the_pool_goes_on_whatever_words_a_task_overwrites) {
    struct running running[AT_A_TIME] = {{0}};
    unsigned counts[VERDICTS] = {0}, tried = 0;
    report = shared(sizeof *report);
    fflush(NULL);
    for (unsigned n = first_case; n <= last_case && n < CASES; n += step_of_cases) {
        struct scribble s = nth_case(n);
        if (!makes_sense(&s)) continue;
        struct running *r;
        while (!(r = free_place(running)))
            if (!end_one(running, counts)) sleep_ms(2);
        *r = (struct running){start_child(run_case, &s), n, now_ms()};
        allow_seconds(300);
        tried++;
    }
    for (unsigned done = 0; done < tried;) {
        if (!end_one(running, counts)) sleep_ms(2);
        done = 0;
        for (int v = 0; v < VERDICTS; v++) done += counts[v];
    }
    for (int v = 0; v < VERDICTS; v++)
        if (counts[v]) printf("%5u %s\n", counts[v], verdict_names[v]);
    printf("%5lu of %lu innocents lost, %lu hung until they were killed, %lu runs of the guilty\n", report->lost,
           report->innocent, report->killed_later, report->runs);
    fflush(stdout);
    assert_int_equal(counts[FINE], tried);
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(all_tasks_end_and_the_pool_goes_on_whatever_words_a_task_overwrites),
    };
    step_of_cases = is_brief() ? 211 : 53;
    if (argc > 1) step_of_cases = 1;
    if (argc > 1 && strcmp(argv[1], "all") != 0) {
        first_case = last_case = (unsigned)strtoul(argv[1], NULL, 10);
        if (argc > 2) last_case = (unsigned)strtoul(argv[2], NULL, 10);
        if (argc > 3) step_of_cases = (unsigned)strtoul(argv[3], NULL, 10);
        verbose = argc == 2;
    }
    return run_group("scribble", tests, COUNT(tests), 0, NULL);
}
