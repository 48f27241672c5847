/* Claiming: threads as claimers, and this thread as the caller, over one shared memory and without a pool. Whatever
 * they do at once, each task and each item is run once, whatever kills a claimer costs no more than what it ran, and no
 * announcement is lost. What is run is plain data, so that ThreadSanitizer sees what claiming does not order. */
#include "threads.h"

#include <poll.h>

#include "base/sys.h"
#include "shared/item_errors.h"
#include "shared/notice.h"
#include "shared/pieces.h"
#include "shared/park.h"
#include "shared/worker_life.h"
#include "worker/claim.h"

enum { CLAIMERS = 3, SLOTS = 48, MOST_TASKS = 60000, MOST_ITEMS = 400, REGIONS = 4, ERRORS = 8, PIECES = 128 };

/* ---- the bed: what all of them share */

struct hand {
    struct pp_claimer claimer;
    uint64_t random;
    uint64_t used_up; /* ticket of the job in which nothing was left */
};

static struct {
    struct pp_shared memory;
    int bell[2];
    struct hand hands[CLAIMERS];
    unsigned mortality; /* one step in so many is a claimer's last; 0: none is */
    atomic_bool over;
    atomic_int wrong; /* the line of a check that failed; 0: none has */
    pthread_mutex_t notices;
    uint64_t random; /* the caller's */
    uint32_t epoch;
    uint64_t done_heads[CLAIMERS];
    void (*take_in)(uint64_t ticket);
    void (*take_death)(const struct pp_notice *notice);
} bed;

/* In any thread; the test fails at its end, and tells the line. */
#define must(right) check(right, __LINE__)
static void check(bool right, int line) {
    if (!right) atomic_store(&bed.wrong, line);
}

static void begin_life(struct hand *hand, uint32_t number) {
    uint32_t life = pp_life_begin(&bed.memory, number);
    pp_claimer_begin(&hand->claimer, &bed.memory, number, life);
}

/* What a supervisor does once a worker is dead; it tells the caller which position the dead was at, or NONE. */
enum { NONE = -1 };
static void die(struct hand *hand, int position) {
    uint32_t number = hand->claimer.number;
    struct pp_notice notice = pp_life_describe(&bed.memory, number, 0, position);
    for (bool told = false; !told; sched_yield()) {
        pthread_mutex_lock(&bed.notices);
        told = pp_life_end(&bed.memory, number, &notice);
        pthread_mutex_unlock(&bed.notices);
    }
    must(pp_ring_bell(bed.bell[1]));
    begin_life(hand, number);
}

static bool is_the_last_step(struct hand *hand) {
    return bed.mortality && next_random(&hand->random) % bed.mortality == 0;
}

static void ring_if(bool due) {
    if (due) must(pp_ring_bell(bed.bell[1]));
}

static void begin_bed(struct threads *threads, void *(*run)(void *)) {
    bed.memory = make_memory(CLAIMERS);
    assert_int_equal(pp_pipe(bed.bell), 0);
    assert_int_equal(pthread_mutex_init(&bed.notices, NULL), 0);
    atomic_store(&bed.over, false);
    atomic_store(&bed.wrong, 0);
    bed.random = 99;
    memset(bed.done_heads, 0, sizeof bed.done_heads);
    for (uint32_t i = 0; i < CLAIMERS; i++) {
        bed.hands[i] = (struct hand){.random = i + 1};
        begin_life(&bed.hands[i], i);
    }
    for (uint32_t i = 0; i < CLAIMERS; i++) start_thread(threads, run, &bed.hands[i]);
}

static void end_bed(struct threads *threads) {
    atomic_store(&bed.over, true);
    join_all(threads);
    assert_int_equal(bed.wrong, 0);
    pthread_mutex_destroy(&bed.notices);
    for (int i = 0; i < 2; i++) pp_close(&bed.bell[i]);
    pp_shared_unmake(&bed.memory);
}

/* ---- the caller */

/* Takes in what was announced and which claimers died. Returns whether there was anything. */
static bool take_news(void) {
    bool found = false;
    for (uint32_t w = 0; w < CLAIMERS; w++) {
        uint64_t tail = pp_record_announced(&bed.memory.records[w]);
        for (uint64_t *head = &bed.done_heads[w]; *head != tail; ++*head, found = true)
            bed.take_in(atomic_load(&*pp_done_entry(&bed.memory, w, *head)));
    }
    struct pp_notice notice;
    bool waits;
    for (; pp_notice_read(&bed.memory, &notice, &waits); found = true) bed.take_death(&notice);
    return found;
}

/* Sleeps until the bell is rung, unless there was something to take in. A bell that is lost is waited for in vain. */
static void wait_for_news(void) {
    _Atomic uint64_t *waits = &bed.memory.control->waits;
    char bytes[64];
    if (++bed.epoch == 0) bed.epoch = 1;
    atomic_store_explicit(waits, (uint64_t)bed.epoch << 32 | PP_WAITS_ANY, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst); /* pairs with the one in pp_announce() */
    if (!take_news()) {
        struct pollfd fd = {.fd = bed.bell[0], .events = POLLIN};
        assert_int_equal(pp_poll(&fd, 1, pp_now() + (uint64_t)PATIENCE / 4 * 1000000), 1);
        take_news();
    }
    atomic_store_explicit(waits, 0, memory_order_relaxed);
    while (pp_read(bed.bell[0], bytes, sizeof bytes) == (ssize_t)sizeof bytes) continue;
}

/* ---- tasks */

static struct {
    size_t count;
    unsigned char runs[MOST_TASKS + 2]; /* plain: only the claimer of a task counts */
    struct slot {
        size_t number; /* of the task in it */
        uint32_t generation;
        bool open, killed;
    } slots[SLOTS];
    size_t open, sent, finished, cancelled, killed, died;
    size_t endless; /* the task that runs until it is killed; SIZE_MAX: none does */
    bool kills;
} tasks;

static int code_of(uint64_t number) {
    return number % 5 == 0 ? 1 + (int)(number % 100) : 0;
}

static _Atomic uint64_t *word_of(size_t slot) {
    return &bed.memory.outcomes[slot].state;
}

static void run_task(struct hand *hand, uint64_t ticket) {
    struct pp_claimer *c = &hand->claimer;
    uint32_t slot = pp_ticket_slot(ticket);
    struct pp_outcome *outcome = &bed.memory.outcomes[slot];
    uint64_t number = bed.memory.descs[slot].item >> PP_IN_SIZE_BITS, value = scramble(number), size = number % 48;
    char message[PP_MESSAGE];
    tasks.runs[number]++;
    memcpy(outcome->out, &value, sizeof value);
    stumble(&hand->random);
    while (number == tasks.endless && pp_phase_of(atomic_load(word_of(slot))) != PP_KILLED) sched_yield();
    snprintf(message, sizeof message, "task %llu", (unsigned long long)number);
    struct pp_result result = {.code = code_of(number), .pid = (int32_t)(number % 1000), .message = message,
                               .size = number % 7 == 1 ? &size : NULL};
    if (is_the_last_step(hand)) {
        die(hand, NONE);
        return;
    }
    switch (pp_finish_task(c, ticket, &result)) {
    case PP_FINISHED: break;
    case PP_FINISHED_RING: ring_if(true); break;
    case PP_FINISHED_KILLED: die(hand, NONE); break;
    }
}

/* Returns false if the claimer's life has ended. */
static bool try_task(struct hand *hand, uint64_t ticket) {
    uint32_t life = hand->claimer.life;
    if (pp_claim_task(&hand->claimer, ticket)) run_task(hand, ticket);
    return hand->claimer.life == life;
}

static bool take_tickets(struct hand *hand) {
    uint64_t tickets[PP_CLAIMED_MOST];
    unsigned most = 1 + (unsigned)(next_random(&hand->random) % PP_CLAIMED_MOST);
    unsigned count = pp_claim_tickets(&hand->claimer, most, tickets);
    if (count == 0) return false;
    if (is_the_last_step(hand)) {
        die(hand, NONE);
        return true;
    }
    for (unsigned i = 0; i < count; i++)
        if (!try_task(hand, tickets[i])) return true;
    pp_drop_tickets(&hand->claimer);
    return true;
}

/* As a worker steals: from the record of another, which may have changed since. */
static void steal(struct hand *hand) {
    uint32_t other = (uint32_t)(next_random(&hand->random) % CLAIMERS);
    for (int i = 0; i < PP_CLAIMED_MOST && other != hand->claimer.number; i++) {
        uint64_t ticket = pp_record_claimed(&bed.memory.records[other], i);
        if (ticket == 0 || !try_task(hand, ticket)) return;
    }
}

static void *claim_tasks(void *argument) {
    struct hand *hand = argument;
    while (!atomic_load(&bed.over)) {
        if (take_tickets(hand)) continue;
        steal(hand);
        pp_drop_tickets(&hand->claimer);
        sched_yield();
    }
    return NULL;
}

/* It is pending, and no claimer has heard of it. */
static void make_task(size_t slot) {
    struct slot *s = &tasks.slots[slot];
    *s = (struct slot){.number = tasks.sent++, .generation = s->generation + 1, .open = true};
    tasks.open++;
    bed.memory.descs[slot].item = s->number << PP_IN_SIZE_BITS;
    pp_state_submit(word_of(slot), s->generation);
}

/* Sometimes twice: a ticket is a hint. */
static void offer_task(size_t slot) {
    for (uint64_t i = 0; i <= (next_random(&bed.random) % 4 == 0); i++)
        must(pp_ring_push(&bed.memory, pp_ticket((uint32_t)slot, tasks.slots[slot].generation)));
}

static void close_slot(struct slot *s, size_t *count) {
    s->open = false;
    tasks.open--;
    ++*count;
}

static void check_outcome(size_t slot) {
    const struct slot *s = &tasks.slots[slot];
    const struct pp_outcome *outcome = &bed.memory.outcomes[slot];
    const char *text = bed.memory.messages[slot];
    uint64_t value, size = s->number % 48;
    memcpy(&value, outcome->out, sizeof value);
    must(tasks.runs[s->number] == 1 && value == scramble(s->number) && outcome->code == code_of(s->number));
    if (outcome->code != 0) {
        char expected[PP_MESSAGE];
        snprintf(expected, sizeof expected, "task %zu", s->number);
        must(strcmp(text, expected) == 0 && outcome->pid == (int32_t)(s->number % 1000));
    } else {
        must((outcome->resized != 0) == (s->number % 7 == 1));
        if (outcome->resized) must(memcmp(text, &size, sizeof size) == 0);
    }
}

static void take_task(uint64_t ticket) {
    struct slot *s = &tasks.slots[pp_ticket_slot(ticket)];
    if (!s->open || s->generation != pp_ticket_generation(ticket)) return;
    if (!pp_is_done(atomic_load_explicit(word_of(pp_ticket_slot(ticket)), memory_order_acquire), s->generation)) return;
    check_outcome(pp_ticket_slot(ticket));
    close_slot(s, &tasks.finished);
}

static void take_dead_tasks_worker(const struct pp_notice *notice) {
    for (int i = 0; i < PP_CLAIMED_MOST && notice->left.claimed[i] != 0; i++) {
        uint64_t ticket = notice->left.claimed[i];
        const struct slot *s = &tasks.slots[pp_ticket_slot(ticket)];
        if (s->open && s->generation == pp_ticket_generation(ticket)) must(pp_ring_push(&bed.memory, ticket));
    }
    uint64_t ticket = notice->left.current;
    uint32_t slot = pp_ticket_slot(ticket);
    struct slot *s = &tasks.slots[slot];
    take_task(ticket); /* it may have died before it announced it */
    if (ticket == 0 || !s->open || s->generation != pp_ticket_generation(ticket)) return;
    uint64_t state = atomic_load_explicit(word_of(slot), memory_order_acquire);
    if (!pp_is_held_by(state, notice->worker, notice->life)) return;
    must(tasks.runs[s->number] == 1 && s->killed == (pp_phase_of(state) == PP_KILLED));
    close_slot(s, s->killed ? &tasks.killed : &tasks.died);
}

/* Unless the task was started. */
static void cancel_task(size_t slot) {
    struct slot *s = &tasks.slots[slot];
    if (!pp_state_cancel(word_of(slot), s->generation)) return;
    must(tasks.runs[s->number] == 0);
    close_slot(s, &tasks.cancelled);
}

/* If it runs. */
static void kill_task(size_t slot) {
    uint64_t state = atomic_load_explicit(word_of(slot), memory_order_acquire);
    tasks.slots[slot].killed = pp_state_kill(word_of(slot), state, PP_KILLED);
}

static void disturb(size_t slot) {
    const struct slot *s = &tasks.slots[slot];
    if (!s->open) return;
    if (next_random(&bed.random) % 2 == 0) cancel_task(slot);
    else if (tasks.kills && !s->killed) kill_task(slot);
}

/* What disturb() may never have met: a task that is not started, and one that runs. */
static void disturb_for_certain(void) {
    make_task(0);
    cancel_task(0);
    offer_task(0);
    if (!tasks.kills) return;
    make_task(0); /* the endless one */
    offer_task(0);
    for (uint64_t end = pp_now() + (uint64_t)PATIENCE * 1000000; !tasks.slots[0].killed; sched_yield()) {
        assert_true(pp_now() < end);
        take_news(); /* a claimer that died gives the ticket back */
        kill_task(0);
    }
}

/* As a caller that waits awake for a task: by its state word, before it is announced. */
static void look_at(size_t slot) {
    take_task(pp_ticket((uint32_t)slot, tasks.slots[slot].generation));
}

struct trial {
    size_t slots;       /* tasks at a time */
    bool disturbs;      /* tasks are cancelled, and looked at before they are announced */
    bool kills;         /* and killed */
    unsigned mortality; /* as in the bed */
    void *(*watch)(void *);
};

static void run_trial(const struct trial *trial) {
    struct threads threads = {.count = 0};
    memset(&tasks, 0, sizeof tasks);
    tasks.count = scaled(MOST_TASKS);
    tasks.kills = trial->kills;
    tasks.endless = trial->kills ? tasks.count + 1 : SIZE_MAX;
    bed.mortality = trial->mortality;
    bed.take_in = take_task;
    bed.take_death = take_dead_tasks_worker;
    begin_bed(&threads, claim_tasks);
    if (trial->watch) start_thread(&threads, trial->watch, NULL);
    while (tasks.sent < tasks.count || tasks.open) {
        for (size_t i = 0; i < trial->slots && tasks.sent < tasks.count; i++) {
            if (tasks.slots[i].open) continue;
            make_task(i);
            offer_task(i);
        }
        for (uint64_t i = next_random(&bed.random) % 16; i && trial->disturbs; i--) {
            if (i % 4 == 0) disturb((size_t)next_random(&bed.random) % trial->slots);
            look_at((size_t)next_random(&bed.random) % trial->slots);
        }
        stumble(&bed.random);
        if (tasks.open) wait_for_news();
    }
    if (trial->disturbs) disturb_for_certain();
    while (tasks.open) wait_for_news();
    end_bed(&threads);
    assert_int_equal(tasks.finished + tasks.cancelled + tasks.killed + tasks.died, tasks.sent);
    assert_true(tasks.finished > 0);
    assert_true((tasks.cancelled > 0) == trial->disturbs);
    assert_true((tasks.killed > 0) == trial->kills);
    assert_true((tasks.died > 0) == (trial->mortality > 0));
}

TEST_CASE(each_task_is_run_once_and_its_outcome_is_whole) {
    run_trial(&(struct trial){.slots = SLOTS, .disturbs = true});
}

TEST_CASE(a_killed_task_ends_once_and_its_claimer_learns_of_it) {
    run_trial(&(struct trial){.slots = SLOTS, .disturbs = true, .kills = true});
}

TEST_CASE(a_claimer_that_dies_costs_the_task_that_it_ran) {
    run_trial(&(struct trial){.slots = SLOTS, .disturbs = true, .kills = true, .mortality = 40});
}

TEST_CASE(a_wait_that_begins_as_the_task_ends_is_rung_for) {
    run_trial(&(struct trial){.slots = 1});
}

/* A state word says that a task runs, and the record of the worker that it names says that another does: then the word
 * must have changed meanwhile. */
static void *compare_states_and_records(void *argument) {
    (void)argument;
    uint64_t random = 5;
    while (!atomic_load(&bed.over)) {
        uint32_t slot = (uint32_t)(next_random(&random) % CLAIMERS);
        uint64_t state = atomic_load_explicit(word_of(slot), memory_order_acquire);
        if (pp_phase_of(state) != PP_RUNNING) continue;
        uint64_t current = pp_record_current(&bed.memory.records[pp_worker_of(state)]);
        if (current == pp_ticket(slot, pp_generation_of(state))) continue;
        must(atomic_load_explicit(word_of(slot), memory_order_acquire) != state);
    }
    return NULL;
}

TEST_CASE(a_task_that_runs_is_in_the_record_of_its_claimer) {
    run_trial(&(struct trial){.slots = CLAIMERS, .watch = compare_states_and_records});
}

/* ---- jobs: one after another, each in the memory of the one before */

enum fate { UNKNOWN, FINISHED, VICTIM, SUSPECT, LEFT };

static struct {
    struct pp_job_plan plan; /* plain, and written for each job: it may not be read once the job is over */
    struct pp_cursor cursors[REGIONS];
    _Atomic unsigned char marks[MOST_ITEMS];
    _Atomic int32_t codes[MOST_ITEMS];
    _Atomic uint8_t failed[MOST_ITEMS];
    _Alignas(PP_LINE) char errors[sizeof(struct pp_item_errors) + (ERRORS + 8) * sizeof(struct pp_item_error)];
    _Alignas(PP_LINE) char pieces[sizeof(struct pp_pieces) + PIECES * sizeof(struct pp_piece)];
    atomic_size_t thefts;
    unsigned char runs[MOST_ITEMS]; /* plain */
    enum fate fates[MOST_ITEMS];    /* the caller's */
    uint32_t generation;
    size_t deaths, victims, kills, killed; /* kills: words that were swapped; killed: claimers that died of that */
    bool careful, stopped;
} job;

static uint64_t job_ticket(void) {
    return pp_ticket(0, job.generation);
}

static bool fails(uint64_t position) {
    return position % 9 == 4;
}

static void run_item(struct hand *hand, const struct pp_job_plan *plan, uint64_t position) {
    char message[PP_MESSAGE] = "it failed";
    job.runs[position]++;
    if (next_random(&hand->random) % 4 == 0) stumble(&hand->random);
    struct pp_result result = {.code = 7, .pid = 1, .message = message};
    if (fails(position)) pp_fail_item(&hand->claimer, plan, position, &result);
}

/* Whether the next position of the chunk may be run; if not, others have taken it, and the chunk ends here. */
static bool may_begin(struct hand *hand, const struct pp_job_plan *plan, struct pp_chunk *chunk, uint64_t position) {
    struct pp_claimer *c = &hand->claimer;
    uint64_t end = pp_may_begin(c->record, c->stretch.expected) ? chunk->end : pp_heed(c, position);
    must(end >= position && end <= chunk->end);
    chunk->end = end;
    chunk->last = (end + plan->block - 1) / plan->block;
    return position < end;
}

/* A call of up to 8 positions from p on. Returns its end; 0: others have taken all that is left. */
static uint64_t begin_call(struct hand *hand, const struct pp_job_plan *plan, struct pp_chunk *chunk, uint64_t p) {
    struct pp_claimer *c = &hand->claimer;
    uint64_t most = 1 + next_random(&hand->random) % 8, end;
    do {
        end = chunk->end - p < most ? chunk->end : p + most;
        pp_begin_call(c->record, end);
        if (!may_begin(hand, plan, chunk, p)) return 0;
    } while (end > chunk->end);
    return end;
}

/* A chunk in calls. Returns false if the claimer's life has ended. */
static bool run_calls(struct hand *hand, const struct pp_job_plan *plan, struct pp_chunk *chunk, uint64_t visit) {
    struct pp_claimer *c = &hand->claimer;
    for (uint64_t p = chunk->begin, end; p < chunk->end; p = end) {
        if (pp_visit_was_killed(c, visit) || is_the_last_step(hand)) return die(hand, NONE), false;
        end = begin_call(hand, plan, chunk, p);
        if (end == 0) return true;
        for (uint64_t i = p; i < end; i++) {
            run_item(hand, plan, i);
            if (is_the_last_step(hand)) return die(hand, (int)p), false;
        }
        pp_finish_item(c->record, end - 1);
        if (!pp_visit_was_killed(c, visit)) continue;
        pp_unfinish_item(c, end - 1);
        return die(hand, (int)end - 1), false;
    }
    return true;
}

/* One position after the other. */
static bool run_items(struct hand *hand, const struct pp_job_plan *plan, struct pp_chunk *chunk, uint64_t visit) {
    struct pp_claimer *c = &hand->claimer;
    uint64_t p = chunk->begin;
    if (pp_visit_was_killed(c, visit) || is_the_last_step(hand)) return die(hand, NONE), false;
    pp_begin_part(c);
    for (; p < chunk->end && may_begin(hand, plan, chunk, p); p++) {
        run_item(hand, plan, p);
        if (is_the_last_step(hand)) return die(hand, (int)p), false;
        pp_finish_item(c->record, p);
    }
    if (!pp_visit_was_killed(c, visit)) return true;
    pp_unfinish_item(c, p - 1);
    return die(hand, (int)p - 1), false;
}

static bool run_chunk(struct hand *hand, const struct pp_job_plan *plan, struct pp_chunk *chunk, uint64_t visit) {
    return (next_random(&hand->random) % 2 ? run_calls : run_items)(hand, plan, chunk, visit);
}

/* A chunk in which each item or call has a word. */
static bool run_with_words(struct hand *hand, const struct pp_job_plan *plan, struct pp_chunk *chunk) {
    struct pp_claimer *c = &hand->claimer;
    bool calls = next_random(&hand->random) % 2;
    for (uint64_t p = chunk->begin, end; p < chunk->end; p = end) {
        if (is_the_last_step(hand)) return die(hand, NONE), false;
        end = calls ? begin_call(hand, plan, chunk, p) : may_begin(hand, plan, chunk, p) ? p + 1 : 0;
        if (end == 0) return true;
        uint64_t running = pp_begin_item(c, p, pp_now());
        if (pp_job_must_stop(plan)) {
            bool killed = !pp_end_item(c, running);
            return die(hand, killed ? (int)p : NONE), false;
        }
        for (uint64_t i = p; i < end; i++) run_item(hand, plan, i);
        if (is_the_last_step(hand)) return die(hand, (int)p), false;
        pp_finish_item(c->record, end - 1);
        if (is_the_last_step(hand)) return die(hand, (int)p), false; /* it was not ended yet */
        if (!pp_end_item(c, running)) return die(hand, (int)p), false;
    }
    return true;
}

/* Claims one, or takes over what another claimer has not begun. */
static bool get_chunk(struct hand *hand, const struct pp_job_plan *plan, struct pp_pace *pace, struct pp_chunk *chunk) {
    struct pp_claimer *c = &hand->claimer;
    uint32_t other = (uint32_t)(next_random(&hand->random) % CLAIMERS);
    bool steals = other != c->number && next_random(&hand->random) % 2;
    if (steals && pp_take_over(c, other, job_ticket(), plan, 1 + next_random(&hand->random) % 20, true, chunk)) {
        atomic_fetch_add_explicit(&job.thefts, 1, memory_order_relaxed);
        return true;
    }
    return pp_claim_chunk(c, plan, pace, UINT64_MAX, chunk);
}

/* Returns false if the claimer's life has ended. */
static bool take_chunks(struct hand *hand, const struct pp_job_plan *plan, uint64_t visit, bool *nothing_left) {
    struct pp_claimer *c = &hand->claimer;
    struct pp_pace pace = {.items = plan->block * (1 + next_random(&hand->random) % 4)};
    struct pp_chunk chunk;
    uint64_t turns = next_random(&hand->random) % 16;
    while (turns--) {
        if (!get_chunk(hand, plan, &pace, &chunk)) {
            *nothing_left = pp_plan_is_used_up(plan);
            return true;
        }
        if (is_the_last_step(hand)) return die(hand, NONE), false;
        if (!(visit ? run_chunk(hand, plan, &chunk, visit) : run_with_words(hand, plan, &chunk))) return false;
        if (is_the_last_step(hand)) return die(hand, NONE), false;
        pp_finish_chunk(c, plan, &chunk);
        if (is_the_last_step(hand)) return die(hand, NONE), false;
    }
    *nothing_left = pp_plan_is_used_up(plan);
    return true;
}

static bool visit_job(struct hand *hand, const struct pp_job_plan *plan, bool *nothing_left) {
    uint64_t visit = pp_begin_visit(&hand->claimer);
    if (pp_job_must_stop(plan)) *nothing_left = true;
    else if (!take_chunks(hand, plan, visit, nothing_left)) return false;
    stumble(&hand->random);
    if (pp_end_visit(&hand->claimer, visit)) return true;
    return die(hand, NONE), false; /* between two parts it ran nothing */
}

static void work_on_job(struct hand *hand, uint64_t ticket) {
    const struct pp_job_plan *plan = pp_claim_job(&hand->claimer, ticket);
    bool nothing_left = !plan;
    if (plan && !(plan->timeout ? take_chunks(hand, plan, 0, &nothing_left) : visit_job(hand, plan, &nothing_left)))
        return;
    if (nothing_left) hand->used_up = ticket;
    enum pp_leaving found = !plan ? PP_NOT_ENTERED : nothing_left ? PP_NOTHING_LEFT : PP_SOMETHING_LEFT;
    ring_if(pp_leave_job(&hand->claimer, ticket, 0, found));
}

static void *claim_jobs(void *argument) {
    struct hand *hand = argument;
    while (!atomic_load(&bed.over)) {
        uint64_t ticket = atomic_load_explicit(&bed.memory.job_table[0], memory_order_acquire);
        if (ticket != 0 && ticket != hand->used_up) work_on_job(hand, ticket);
        else sched_yield();
    }
    return NULL;
}

static void begin_job(bool careful) {
    uint64_t random = next_random(&bed.random), count = 1 + random % MOST_ITEMS, block = 1 + random / 1000 % 8;
    job.plan = (struct pp_job_plan){.count = count, .block = block, .blocks = (count + block - 1) / block,
                                    .chunk_blocks = random / 100000 % 3, .generation = ++job.generation,
                                    .timeout = careful, .cursors = job.cursors, .marks = job.marks,
                                    .codes = job.codes, .failed = job.failed, .errors = (void *)job.errors,
                                    .errors_room = ERRORS, .pieces = (void *)job.pieces, .pieces_room = PIECES};
    memset(job.pieces, 0, sizeof job.pieces);
    pp_plan_deal(&job.plan, 1 + (uint32_t)(random / 1000000 % REGIONS));
    memset(job.marks, 0, sizeof job.marks);
    memset(job.runs, 0, sizeof job.runs);
    memset(job.fates, 0, sizeof job.fates);
    job.stopped = false;
    pp_item_errors_begin(job.plan.errors, ERRORS);
    pp_plan_begin(&job.plan);
    bed.memory.descs[0].in = &job.plan;
    pp_state_submit(word_of(0), job.generation);
    atomic_store_explicit(&bed.memory.job_table[0], job_ticket(), memory_order_release);
}

/* Closes the job to claimers that come late, as close_pass() in round.c does. */
static void close_job(void) {
    atomic_store(&bed.memory.job_table[0], 0);
    while (!pp_state_close(word_of(0), atomic_load(word_of(0)))) continue;
}

static bool is_over(void) {
    if (!pp_plan_is_used_up(&job.plan) || pp_record_anybody_in(&bed.memory, job_ticket())) return false;
    close_job();
    return !pp_record_anybody_in(&bed.memory, job_ticket()) && !pp_notice_is_due(&bed.memory);
}

/* The caller looks itself whether the job is over. */
static void take_job(uint64_t ticket) {
    must(pp_ticket_slot(ticket) == 0);
}

static void set_fate(uint64_t begin, uint64_t end, enum fate fate) {
    for (uint64_t p = begin; p < end; p++) {
        must(job.fates[p] == UNKNOWN);
        job.fates[p] = fate;
    }
}

/* As settle_chunk() in round.c does. */
static void take_dead_jobs_worker(const struct pp_notice *notice) {
    struct pp_chunk chunk;
    job.deaths++;
    job.killed += notice->left.phase == PP_KILLED;
    if (notice->left.job != job_ticket() || !pp_snapshot_chunk(&notice->left, &job.plan, &chunk)) return;
    uint64_t rest = notice->left.progress, end, victim = pp_snapshot_victim(&notice->left, &chunk, &end);
    must(victim == (notice->status == NONE ? PP_NO_VICTIM : (uint64_t)notice->status));
    for (uint64_t p = notice->left.judged; notice->left.judged && p < chunk.end; p++) atomic_store(&job.failed[p], 0);
    pp_plan_finish(&job.plan, &chunk, notice->left.judged != 0);
    if (victim != PP_NO_VICTIM) {
        job.victims++;
        rest = end;
        for (uint64_t p = victim; notice->left.judged && p < end; p++) atomic_store(&job.failed[p], 0);
        set_fate(victim, rest, rest - victim > 1 ? SUSPECT : VICTIM);
    }
    set_fate(chunk.begin, victim == PP_NO_VICTIM ? rest : victim, FINISHED);
    set_fate(rest, chunk.end, LEFT);
}

/* What has no fate by a death has one by its block's mark. */
static void check_job(void) {
    for (uint64_t p = 0; p < job.plan.count; p++) {
        unsigned char mark = atomic_load(&job.marks[p / job.plan.block]);
        enum fate fate = job.fates[p];
        uint64_t end;
        const struct pp_piece *piece = mark == PP_MARK_PIECES ? pp_pieces_find(&job.plan, p, p + 1, &end) : NULL;
        if (piece) mark = piece->has_errors ? PP_MARK_ERRORS : PP_MARK_DONE;
        if (fate == UNKNOWN) fate = mark == PP_UNMARKED || mark == PP_MARK_PIECES ? LEFT : FINISHED;
        must(fate != LEFT || job.stopped || job.deaths > 0);
        if (fate == SUSPECT) must(job.runs[p] <= 1);
        else must(job.runs[p] == (fate != LEFT) || (fate == VICTIM && job.stopped));
        if (fate == FINISHED && fails(p))
            must(mark == PP_MARK_ERRORS && atomic_load(&job.failed[p]) && atomic_load(&job.codes[p]) == 7);
        if (fate == FINISHED && mark == PP_MARK_ERRORS && !fails(p)) must(!atomic_load(&job.failed[p]));
    }
}

/* Nothing more is started, and what runs is killed: as pp_job_stop() does. */
static void stop_job(void) {
    job.stopped = true;
    atomic_store(&job.plan.stop, 1);
    pp_plan_use_up(&job.plan);
    for (uint32_t w = 0; w < CLAIMERS; w++) {
        uint32_t life;
        job.kills += pp_record_kill(&bed.memory, w, job_ticket(), &life);
    }
}

/* Whether what the jobs are for has happened: that is left to chance, so there are as many jobs as it takes. */
static bool have_seen_all(unsigned mortality, bool kills) {
    return job.thefts > 0 && (job.kills > 0 || !kills) && (job.victims > 0 || !mortality);
}

static void run_jobs(unsigned mortality, bool kills) {
    struct threads threads = {.count = 0};
    uint64_t end = pp_now() + (uint64_t)PATIENCE * 1000000;
    memset(&job, 0, sizeof job);
    bed.mortality = mortality;
    bed.take_in = take_job;
    bed.take_death = take_dead_jobs_worker;
    begin_bed(&threads, claim_jobs);
    for (size_t round = 0; round < scaled(3000) || (!have_seen_all(mortality, kills) && pp_now() < end); round++) {
        begin_job(round % 3 == 2);
        if (kills && next_random(&bed.random) % 2 == 0) {
            for (uint64_t i = next_random(&bed.random) % 400; i; i--) stumble(&bed.random);
            stop_job();
        }
        while (!is_over()) wait_for_news();
        check_job();
    }
    end_bed(&threads);
    assert_true(have_seen_all(mortality, kills));
    /* A kill of a claimer that died just before is none. */
    if (mortality) assert_true(job.killed <= job.kills);
    else assert_int_equal(job.killed, job.kills);
    if (!kills) assert_int_equal(job.kills, 0);
    if (!kills && !mortality) assert_int_equal(job.deaths, 0);
}

TEST_CASE(each_item_is_run_once_and_the_last_one_out_rings) {
    run_jobs(0, false);
}

TEST_CASE(a_killed_job_starts_nothing_more_and_accounts_for_each_item) {
    run_jobs(0, true);
}

TEST_CASE(a_claimer_that_dies_leaves_what_it_finished_one_victim_and_the_rest) {
    run_jobs(300, false);
    run_jobs(300, true);
}

/* ---- alone */

static void begin_alone(struct pp_claimer *claimer) {
    bed.memory = make_memory(CLAIMERS);
    pp_claimer_begin(claimer, &bed.memory, 1, pp_life_begin(&bed.memory, 1));
}

TEST_CASE(the_bell_is_rung_once_a_wait_and_for_what_is_waited_for) {
    struct pp_claimer claimer;
    begin_alone(&claimer);
    _Atomic uint64_t *waits = &bed.memory.control->waits;
    assert_false(pp_announce(&claimer, pp_ticket(5, 1)));
    atomic_store(waits, (uint64_t)1 << 32 | 6);
    assert_false(pp_announce(&claimer, pp_ticket(5, 1)));
    assert_true(pp_announce(&claimer, pp_ticket(6, 1)));
    assert_false(pp_announce(&claimer, pp_ticket(6, 1)));
    atomic_store(waits, (uint64_t)2 << 32 | PP_WAITS_ANY);
    assert_true(pp_would_ring(&claimer, pp_ticket(7, 1)));
    assert_true(pp_announce(&claimer, pp_ticket(7, 1)));
    assert_false(pp_announce(&claimer, pp_ticket(8, 1)));
    assert_int_equal(pp_record_announced(claimer.record), 6);
    pp_shared_unmake(&bed.memory);
}

TEST_CASE(a_claimer_that_has_dropped_its_tickets_is_at_no_task) {
    struct pp_claimer claimer;
    begin_alone(&claimer);
    pp_state_submit(&bed.memory.outcomes[3].state, 1);
    assert_true(pp_claim_task(&claimer, pp_ticket(3, 1)));
    atomic_store(&claimer.record->claimed[0], pp_ticket(4, 1));
    pp_drop_tickets(&claimer);
    struct pp_snapshot snapshot = pp_record_snapshot(&bed.memory, 1);
    assert_true(snapshot.claimed[0] == 0 && snapshot.current == 0);
    pp_shared_unmake(&bed.memory);
}

TEST_CASE(a_clock_that_nobody_watches_is_checked_by_the_claimer) {
    struct pp_claimer claimer;
    begin_alone(&claimer);
    _Atomic uint64_t *word = &bed.memory.outcomes[3].state;
    pp_state_submit(word, 1);
    assert_true(pp_claim_task(&claimer, pp_ticket(3, 1)));
    pp_start_clock(&claimer, 100);
    uint64_t running = pp_running_word(&claimer, pp_ticket(3, 1));
    pp_check_clock(&claimer, word, running, 50, 149);
    assert_int_equal(atomic_load(word), running);
    pp_check_clock(&claimer, word, running, 50, 150);
    assert_int_equal(pp_phase_of(atomic_load(word)), PP_OVERDUE);
    assert_int_equal(pp_finish_task(&claimer, pp_ticket(3, 1), &(struct pp_result){.code = 0}), PP_FINISHED_KILLED);
    assert_int_equal(pp_record_announced(claimer.record), 0);
    assert_false(pp_claim_task(&claimer, pp_ticket(3, 1)));
    assert_false(pp_claim_task(&claimer, pp_ticket(PP_SLOTS, 1)));
    pp_shared_unmake(&bed.memory);
}

TEST_CASE(a_job_that_is_over_is_not_entered) {
    struct pp_claimer claimer;
    begin_alone(&claimer);
    pp_state_submit(&bed.memory.outcomes[3].state, 2);
    assert_null(pp_claim_job(&claimer, pp_ticket(3, 1)));
    assert_null(pp_claim_job(&claimer, pp_ticket(PP_SLOTS, 2)));
    assert_true(pp_state_cancel(&bed.memory.outcomes[3].state, 2));
    assert_null(pp_claim_job(&claimer, pp_ticket(3, 2)));
    assert_true(pp_record_anybody_in(&bed.memory, pp_ticket(3, 2)));
    assert_false(pp_leave_job(&claimer, pp_ticket(3, 2), 0, PP_NOT_ENTERED));
    assert_false(pp_record_anybody_in(&bed.memory, pp_ticket(3, 2)));
    pp_shared_unmake(&bed.memory);
}

TEST_CASE(the_last_claimer_out_of_a_job_announces_it) {
    struct pp_claimer claimer, other;
    begin_alone(&claimer);
    pp_claimer_begin(&other, &bed.memory, 2, pp_life_begin(&bed.memory, 2));
    uint64_t ticket = pp_ticket(3, 1);
    bed.memory.descs[3].in = &job.plan;
    pp_state_submit(&bed.memory.outcomes[3].state, 1);
    pp_claim_job(&claimer, ticket);
    pp_claim_job(&other, ticket);
    assert_false(pp_leave_job(&claimer, ticket, 0, PP_NOTHING_LEFT));
    assert_int_equal(pp_record_announced(claimer.record), 0);
    assert_false(pp_leave_job(&other, ticket, 0, PP_NOTHING_LEFT)); /* no thread waits for it */
    assert_int_equal(pp_record_announced(other.record), 1);
    pp_shared_unmake(&bed.memory);
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(each_task_is_run_once_and_its_outcome_is_whole),
        TEST(a_killed_task_ends_once_and_its_claimer_learns_of_it),
        TEST(a_claimer_that_dies_costs_the_task_that_it_ran),
        TEST(a_wait_that_begins_as_the_task_ends_is_rung_for),
        TEST(a_task_that_runs_is_in_the_record_of_its_claimer),
        TEST(each_item_is_run_once_and_the_last_one_out_rings),
        TEST(a_killed_job_starts_nothing_more_and_accounts_for_each_item),
        TEST(a_claimer_that_dies_leaves_what_it_finished_one_victim_and_the_rest),
        TEST(the_bell_is_rung_once_a_wait_and_for_what_is_waited_for),
        TEST(a_claimer_that_has_dropped_its_tickets_is_at_no_task),
        TEST(a_clock_that_nobody_watches_is_checked_by_the_claimer),
        TEST(a_job_that_is_over_is_not_entered),
        TEST(the_last_claimer_out_of_a_job_announces_it),
    };
    return run_group("shared_claim", tests, COUNT(tests), argc, argv);
}
