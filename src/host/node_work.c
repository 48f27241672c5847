/* What the head has sent to a node: names, tasks and chunks, from their messages to their answers; see node.h. */
#include <stdio.h>
#include <string.h>

#include "base/sys.h"
#include "base/text.h"
#include "host/node.h"
#include "pool/call.h"
#include "pool/events.h"
#include "pool/future_alloc.h"
#include "pool/graph.h"
#include "pool/submit.h"
#include "worker/fold.h"

#define BATCH 64               /* answers between two looks at what tasks have printed */
#define ITEMS_NS 10000000U     /* between two looks at the items of chunks */
#define QUEUED_MOST ((size_t)1 << 20) /* bytes that may wait for the head before no more answers are made: in memory
                                       * that stays in use, and partly in caches */

/* ---- names */

/* The entry of a name that is to get a meaning. */
static void **name(struct pp_node_self *node, struct pp_node_table *table, uint64_t number) {
    if (number == 0 || number > PP_FAR_NUMBERS) pp_node_refuse(node, "a name out of range");
    if (number >= table->room) {
        size_t room = table->room ? table->room : 16;
        while (room <= number) room *= 2;
        void **entries = pp_realloc(table->entries, room * sizeof *entries);
        if (!entries) pp_node_refuse(node, "more names than there is memory for");
        memset(entries + table->room, 0, (room - table->room) * sizeof *entries);
        table->entries = entries;
        table->room = room;
    }
    if (table->entries[number]) pp_node_refuse(node, "a name twice");
    return &table->entries[number];
}

/* Text for a failure of all tasks with that function. */
static char *explain(const struct pp_function_message *m) {
    char module[64], readable[sizeof module], id[17] = "";
    size_t size = m->module_size < sizeof module - 1 ? m->module_size : sizeof module - 1;
    memcpy(module, m->module, size);
    module[size] = '\0';
    pp_text_readable(readable, module, sizeof module);
    for (size_t i = 0; i < 8 && i < m->function.id_size; i++) snprintf(id + 2 * i, 3, "%02x", m->function.id[i]);
    char *why = pp_zalloc(1, PP_FAR_TEXT);
    if (why)
        snprintf(why, PP_FAR_TEXT, "its function lies in %s (build %s), which this host has not loaded before "
                 "pool_serve(), or in another build", readable, id);
    return why;
}

static void take_function(struct pp_node_self *node, const struct pp_message *message) {
    struct pp_function_message m;
    const void *address;
    if (!pp_get_function(message->data, message->size, &m)) pp_node_refuse(node, "a function that is none");
    void **entry = name(node, &node->functions, message->id);
    struct pp_node_function *function = *entry = pp_zalloc(1, sizeof *function);
    if (!function) pp_node_refuse(node, "more functions than there is memory for");
    if (pp_resolve(&m.function, true, &address)) function->fn = (pool_fn *)pp_function_at(address);
    else function->why = explain(&m);
}

static void take_context(struct pp_node_self *node, const struct pp_message *m) {
    void **entry = name(node, &node->contexts, m->id);
    pp_lock(node->pool);
    void *context = pp_heap_alloc(&node->pool->memory.inputs, m->size ? m->size : 1, false);
    pp_unlock(node->pool);
    if (!context) pp_node_refuse(node, "a context that there is no memory for");
    *entry = memcpy(context, m->data, m->size);
}

static void forget_context(struct pp_node_self *node, uint64_t number) {
    void *context = pp_node_find(node, &node->contexts, number);
    pp_lock(node->pool);
    pp_heap_free(&node->pool->memory.inputs, context);
    pp_unlock(node->pool);
    node->contexts.entries[number] = NULL;
}

/* What the tasks of a reduction are told. */
static void make_recipe(struct pp_node_self *node, struct pp_node_job *job) {
    const struct pp_job_message *m = &job->told;
    const struct pp_node_function *fn = m->function ? pp_node_find(node, &node->functions, m->function) : NULL;
    const struct pp_node_function *combine = pp_node_find(node, &node->functions, m->combine);
    job->why = fn && fn->why ? fn->why : combine->why;
    pp_lock(node->pool);
    struct pp_recipe *recipe = job->recipe = pp_heap_alloc(&node->pool->memory.inputs, sizeof *recipe, true);
    pp_unlock(node->pool);
    if (!recipe) pp_node_refuse(node, "more reductions than there is memory for");
    if (m->is_block) recipe->block = (int (*)(const void *, size_t, void *))(pp_function *)fn->fn;
    else if (fn) recipe->fn = fn->fn;
    recipe->combine = (int (*)(void *, const void *))(pp_function *)combine->fn;
    recipe->in_size = (size_t)m->in_size;
    recipe->out_size = (size_t)m->out_size;
    recipe->seed = m->seed;
    recipe->skip_failed = m->skips_failed;
    recipe->context = m->context ? pp_node_find(node, &node->contexts, m->context) : NULL;
}

static void take_job(struct pp_node_self *node, const struct pp_message *message) {
    struct pp_job_message m;
    if (!pp_get_job(message->data, message->size, &m)) pp_node_refuse(node, "a job that is none");
    if (m.function) pp_node_find(node, &node->functions, m.function);
    if (m.combine) pp_node_find(node, &node->functions, m.combine);
    if (m.context) pp_node_find(node, &node->contexts, m.context);
    void **entry = name(node, &node->jobs, message->id);
    struct pp_node_job *job = *entry = pp_zalloc(1, sizeof *job);
    if (!job) pp_node_refuse(node, "more jobs than there is memory for");
    job->told = m;
    if (m.combine) make_recipe(node, job);
}

static void end_job(struct pp_node_self *node, uint64_t number) {
    struct pp_node_job *job = pp_node_find(node, &node->jobs, number);
    if (job->open) pp_node_refuse(node, "the end of a job that runs");
    pp_lock(node->pool);
    pp_heap_free(&node->pool->memory.inputs, job->recipe);
    pp_unlock(node->pool);
    pp_release(job);
    node->jobs.entries[number] = NULL;
}

/* ---- answers */

/* The item that a leaf or join was at when it failed. Workers can write there, and one that did not start has not. */
static uint64_t place_of(const struct pp_node_work *work) {
    uint64_t at = work->spot ? atomic_load_explicit(&work->spot->at, memory_order_relaxed) : work->first;
    return work->spot && (at < work->first || at - work->first >= work->count) ? work->first : at;
}

static void free_spot(struct pp_node_self *node, struct pp_node_work *work) {
    if (!work->spot) return;
    pp_lock(node->pool);
    pp_heap_free(&node->pool->memory.work, work->spot);
    pp_unlock(node->pool);
}

/* Answers the work, and forgets it. failure: NULL: it is done; the result is that of the future, if it has one. */
static void answer(struct pp_node_self *node, struct pp_node_work *work, const struct pool_failure *failure) {
    const struct future *future = work->future;
    bool has_result = future && !work->chunk && !failure;
    if (failure) pp_node_say_failed(node, PP_SAY_FAILED, work->id, place_of(work), failure);
    else if (work->skips_failed) pp_node_say_part(node, work);
    else pp_node_say(node, PP_SAY_DONE, work->id, NULL, 0, has_result ? future->result : NULL,
                     has_result ? future->out_size : 0);
    if (work->job) work->job->open--;
    if (pp_link_is_on(&work->link)) {
        pp_list_remove(work->begun ? &node->begun : &node->waiting, &work->link);
        node->chunks -= work->begun && work->chunk;
    }
    if (work->begun) future_free(work->future);
    pp_node_chunk_free(node, work->chunk);
    free_spot(node, work);
    pp_release(work);
}

static void answer_error(struct pp_node_self *node, struct pp_node_work *work, int error, const char *why) {
    struct pool_failure failure = {.error = error};
    snprintf(failure.message, sizeof failure.message, "%s", why ? why : pool_strerror(error));
    answer(node, work, &failure);
}

/* ---- tasks */

/* What a task is given: its argument is `head_size` bytes of the node's own, and then those of the message. */
struct gift {
    pool_fn *fn;
    const void *context, *head;
    size_t head_size;
};

/* Makes the future, with all that the task is given, and does not send it. */
static int make_future(struct pp_node_self *node, const struct pp_task_message *m, const struct gift *gift,
                       struct future **future) {
    struct pool *pool = node->pool;
    struct pool_task task = {.fn = gift->fn, .in_size = gift->head_size + (size_t)m->in_size,
                             .out_size = m->any_size ? POOL_ANY_SIZE : (size_t)m->out_size,
                             .timeout = (int)m->timeout, .cpu_timeout = (int)m->cpu_timeout, .seed = m->seed,
                             .priority = m->priority};
    uint64_t *sizes = m->input_count ? pp_zalloc(m->input_count, sizeof *sizes) : NULL;
    if (m->input_count && !sizes) return POOL_ENOMEM;
    for (uint32_t i = 0; i < m->input_count; i++) sizes[i] = pp_get_number(m->input_sizes, i);
    pp_lock(pool);
    int error = pp_task_new(pool, &task, m->index, future);
    if (error == POOL_ENOMEM) { /* outcomes may be there whose tasks hold room */
        pp_advance(pool);
        error = pp_task_new(pool, &task, m->index, future);
    }
    if (!error) (*future)->task.tried = m->is_fresh;
    if (!error && (gift->context || m->input_count)) {
        error = pp_graph_give(pool, *future, gift->context, m->input_count, sizes, m->inputs);
        if (error) pp_task_drop(pool, *future);
    }
    char *in = error ? NULL : (char *)(uintptr_t)(*future)->task.in;
    if (in && gift->head_size) memcpy(in, gift->head, gift->head_size);
    if (in && m->in_size) memcpy(in + gift->head_size, m->in, (size_t)m->in_size);
    pp_unlock(pool);
    pp_release(sizes);
    return error;
}

static int make_plain(struct pp_node_self *node, const struct pp_task_message *m, struct pp_node_work *work) {
    const struct pp_node_function *function = pp_node_find(node, &node->functions, m->function);
    struct gift gift = {.fn = function->fn};
    if (m->context) gift.context = pp_node_find(node, &node->contexts, m->context);
    work->why = function->why;
    return function->fn ? make_future(node, m, &gift, &work->future) : POOL_EINVAL;
}

static int make_leaf(struct pp_node_self *node, const struct pp_task_message *m, struct pp_node_work *work) {
    const struct pp_recipe *recipe = work->job->recipe;
    size_t item = recipe->in_size + recipe->skip_failed;
    if (m->count == 0 || m->in_size / m->count != item || m->in_size % m->count != 0)
        pp_node_refuse(node, "a part of a reduction of another size");
    struct pp_leaf leaf = {.recipe = recipe, .spot = work->spot, .first = m->index, .count = m->count,
                           .alone = m->is_alone};
    work->skips_failed = recipe->skip_failed;
    return make_future(node, m, &(struct gift){.fn = pp_leaf_task, .head = &leaf, .head_size = sizeof leaf},
                       &work->future);
}

static int make_join(struct pp_node_self *node, const struct pp_task_message *m, struct pp_node_work *work) {
    const struct pp_recipe *recipe = work->job->recipe;
    bool fits = m->input_count >= 2 && m->input_count <= PP_JOIN_MOST && m->in_size == 0;
    if (fits && m->input_count > 2) fits = recipe->out_size <= PP_JOIN_SMALL;
    for (uint32_t i = 0; fits && i < m->input_count; i++)
        fits = pp_get_number(m->input_sizes, i) == recipe->out_size;
    if (!fits) pp_node_refuse(node, "parts of a reduction of another size");
    struct pp_join join = {.recipe = recipe, .spot = work->spot};
    for (uint32_t i = 0; i < m->input_count; i++) join.first[i] = m->index + i * m->count;
    struct gift gift = {.fn = pp_join_task, .head = &join, .head_size = pp_join_size(m->input_count)};
    return make_future(node, m, &gift, &work->future);
}

static bool make_spot(struct pp_node_self *node, const struct pp_task_message *m, struct pp_node_work *work) {
    size_t part = m->shape == PP_SHAPE_LEAF ? work->job->recipe->out_size : 0;
    work->count = m->shape == PP_SHAPE_LEAF ? m->count : m->count * m->input_count;
    pp_lock(node->pool);
    work->spot = pp_heap_alloc(&node->pool->memory.work, sizeof *work->spot + part, false);
    pp_unlock(node->pool);
    if (work->spot) atomic_store_explicit(&work->spot->at, m->index, memory_order_relaxed);
    return work->spot != NULL;
}

/* A leaf or join. */
static int make_part(struct pp_node_self *node, struct pp_task_message *m, struct pp_node_work *work) {
    work->job = pp_node_find(node, &node->jobs, m->job);
    if (!work->job->recipe) pp_node_refuse(node, "a part of a reduction that is none");
    work->job->open++;
    work->first = m->index;
    work->why = work->job->why;
    m->out_size = work->job->recipe->out_size;
    if (work->why) return POOL_EINVAL;
    if (!make_spot(node, m, work)) return POOL_ENOMEM;
    return m->shape == PP_SHAPE_LEAF ? make_leaf(node, m, work) : make_join(node, m, work);
}

/* Of a task or chunk that has just come. */
static struct pp_node_work *make_work(struct pp_node_self *node, uint64_t id) {
    if (id != node->next_id) pp_node_refuse(node, "a task out of turn");
    node->next_id++;
    struct pp_node_work *work = pp_zalloc(1, sizeof *work);
    if (!work) pp_node_refuse(node, "more tasks than there is memory for");
    work->id = id;
    return work;
}

static void take_task(struct pp_node_self *node, const struct pp_message *message) {
    struct pp_task_message m;
    if (!pp_get_task(message->data, message->size, &m)) pp_node_refuse(node, "a task that is none");
    struct pp_node_work *work = make_work(node, message->id);
    int error = m.shape == PP_SHAPE_PLAIN ? make_plain(node, &m, work) : make_part(node, &m, work);
    if (error) {
        work->future = NULL;
        answer_error(node, work, error, error == POOL_EINVAL ? work->why : NULL);
        return;
    }
    work->future->arg = work;
    pp_list_add_back(&node->waiting, &work->link);
}

static void take_chunk(struct pp_node_self *node, const struct pp_message *message) {
    struct pp_chunk_message m;
    if (!pp_get_chunk(message->data, message->size, &m)) pp_node_refuse(node, "a chunk that is none");
    struct pp_node_work *work = make_work(node, message->id);
    struct pp_node_chunk *chunk = pp_node_chunk_make(node, &m);
    if (!chunk || !chunk->function->fn) {
        const char *why = chunk ? chunk->function->why : NULL;
        pp_node_chunk_free(node, chunk);
        answer_error(node, work, chunk ? POOL_EINVAL : POOL_ENOMEM, why);
        return;
    }
    work->chunk = chunk;
    work->job = chunk->job;
    work->job->open++;
    pp_list_add_back(&node->waiting, &work->link);
}

/* ---- from waiting to begun */

static int begin_task(struct pp_node_self *node, struct pp_node_work *work) {
    pp_lock(node->pool);
    pp_notify_begin(work->future);
    int error = pp_task_send(node->pool, work->future);
    if (error) {
        pp_notify_end(work->future);
        pp_task_drop(node->pool, work->future);
        work->future = NULL;
    }
    pp_unlock(node->pool);
    return error;
}

void pp_node_begin(struct pp_node_self *node) {
    struct pp_node_work *work;
    while ((work = PP_LIST_FIRST(&node->waiting, struct pp_node_work, link)) != NULL && work->id <= node->leave) {
        int error = work->chunk ? pp_node_chunk_begin(node, work) : begin_task(node, work);
        if (node->pool->broken) return;
        if (error) {
            answer_error(node, work, error, NULL);
            continue;
        }
        pp_list_remove(&node->waiting, &work->link);
        pp_list_add_back(&node->begun, &work->link);
        work->begun = true;
        node->chunks += work->chunk != NULL;
    }
}

/* ---- cancelling */

static struct pp_node_work *find_in(const struct pp_list *list, uint64_t id) {
    PP_LIST_EACH(work, list, struct pp_node_work, link)
        if (work->id == id) return work;
    return NULL;
}

/* What has been answered meanwhile is in neither list. */
static void cancel(struct pp_node_self *node, uint64_t id, bool kill) {
    if (id == 0 || id >= node->next_id) pp_node_refuse(node, "the end of a task that it has not sent");
    struct pp_node_work *work = find_in(&node->waiting, id);
    if (work) {
        if (work->future) {
            pp_lock(node->pool);
            pp_task_drop(node->pool, work->future);
            pp_unlock(node->pool);
            work->future = NULL;
        }
        answer_error(node, work, POOL_ECANCELLED, NULL);
        return;
    }
    work = find_in(&node->begun, id);
    if (!work) return;
    if (kill) future_kill(work->future);
    else future_cancel(work->future);
}

/* ---- messages */

void pp_node_take(struct pp_node_self *node, const struct pp_message *m) {
    switch (m->kind) {
    case PP_SAY_FUNCTION: take_function(node, m); return;
    case PP_SAY_CONTEXT: take_context(node, m); return;
    case PP_SAY_JOB: take_job(node, m); return;
    case PP_SAY_TASK: take_task(node, m); return;
    case PP_SAY_CHUNK: take_chunk(node, m); return;
    default: break;
    }
    if (m->size > 0) pp_node_refuse(node, "more than there is to say");
    switch (m->kind) {
    case PP_SAY_FORGET_CONTEXT: forget_context(node, m->id); return;
    case PP_SAY_END_JOB: end_job(node, m->id); return;
    case PP_SAY_FORGET: cancel(node, m->id, false); return;
    case PP_SAY_KILL: cancel(node, m->id, true); return;
    case PP_SAY_LEAVE:
        if (m->id < node->leave || m->id >= node->next_id) pp_node_refuse(node, "a leave for what it has not sent");
        node->leave = m->id;
        return;
    default: pp_node_refuse(node, "a message of no meaning");
    }
}

/* ---- what is done */

static void tell_task(struct pp_node_self *node, struct future *future) {
    struct pool_failure failure;
    struct pp_node_work *work = future->arg;
    future_failure(future, &failure);
    answer(node, work, future->outcome ? &failure : NULL);
}

/* Chunks that have ended are reported at once, items of the others now and then. */
static void look_at_chunks(struct pp_node_self *node) {
    uint64_t now = pp_now();
    bool at_items = now >= node->look_at_items;
    if (at_items) node->look_at_items = now + ITEMS_NS;
    PP_LIST_EACH(work, &node->begun, struct pp_node_work, link) {
        if (!work->chunk) continue;
        if (pp_future_is_done(work->future)) {
            pp_node_chunk_report(node, work);
            answer(node, work, NULL);
        } else if (at_items) {
            pp_node_chunk_report_so_far(node, work);
        }
    }
}

/* Takes tasks that are done. Returns how many. */
static int take_done(struct pool *pool, struct future **done) {
    int count = 0;
    pp_lock(pool);
    pp_advance(pool);
    while (count < BATCH && (done[count] = PP_LIST_FIRST(&pool->events.done, struct future, link)) != NULL) {
        pp_notify_end(done[count]);
        pp_detach(done[count++]);
    }
    pool->events.reported += pp_events_unreported(pool);
    pp_unlock(pool);
    return count;
}

bool pp_node_may_tell(const struct pp_node_self *node) {
    return pp_wire_queued(&node->wire) <= QUEUED_MOST;
}

/* What a task has printed comes before its outcome. A failure of the whole pool is none of its tasks. */
void pp_node_tell(struct pp_node_self *node) {
    struct future *done[BATCH];
    int count;
    do {
        if (!pp_node_may_tell(node)) return;
        count = take_done(node->pool, done);
        if (node->pool->broken) return;
        if ((count > 0 || node->chunks > 0) && pp_node_output_waits(node)) pp_node_output_pass(node, pp_now(), true);
        for (int i = 0; i < count; i++) tell_task(node, done[i]);
    } while (count == BATCH);
    if (node->chunks > 0) look_at_chunks(node);
}
