/* Tasks of reductions, whose functions are the library's own: a host is told once of a reduction, and then the items or
 * parts of each task. See carry.h, fold.h. */
#include <string.h>

#include "remote/baggage.h"
#include "remote/carry.h"
#include "worker/fold.h"

#define NUMBER_OF_JOB(place) (PP_JOBS_KNOWN + 1 + (place)) /* behind those of jobs */
#define NUMBER_OF_CONTEXT(place) (PP_CONTEXT_OF_FOLD + (place))

static const void *address_of_part(const struct pp_recipe *recipe) {
    return recipe->block ? pp_address_of((pp_function *)recipe->block) : pp_address_of((pp_function *)recipe->fn);
}

static bool copy_recipe(struct pp_carrier *c, const struct pp_recipe *at, struct pp_recipe *recipe) {
    if (!pp_carrier_reaches(c, at, sizeof *at)) return false;
    *recipe = *at;
    const void *part = address_of_part(recipe);
    if (part && pp_carrier_function(c, part) == 0) return false;
    if (pp_carrier_function(c, pp_address_of((pp_function *)recipe->combine)) == 0) return false;
    if (!recipe->context) return true;
    return recipe->context_size > 0 && pp_carrier_reaches(c, recipe->context, recipe->context_size);
}

/* The items lie where all workers see them, or follow the argument. The bytes that say which to leave out follow it in
 * either case. */
static bool pack_leaf(struct pp_carrier *c, struct pp_baggage *b) {
    struct pp_task_message *m = &b->message;
    const struct pp_recipe *recipe = &b->recipe;
    struct pp_leaf leaf;
    if (m->in_size < sizeof leaf || !pp_carrier_reaches(c, m->in, (size_t)m->in_size)) return false;
    memcpy(&leaf, m->in, sizeof leaf);
    if (!copy_recipe(c, leaf.recipe, &b->recipe) || leaf.count == 0) return false;
    uint64_t most = SIZE_MAX / 4 / (recipe->in_size ? recipe->in_size : 1);
    if (leaf.count > most || leaf.first > most) return false;
    size_t items = recipe->in_size * (size_t)leaf.count, size = pp_leaf_size(recipe, (size_t)leaf.count);
    if (m->in_size < size) return false;
    if (recipe->skip_failed) b->marks = m->in + pp_leaf_mark(recipe, (size_t)leaf.count, 0);
    m->in += sizeof leaf;
    if (recipe->in) m->in = (const unsigned char *)recipe->in + leaf.first * recipe->in_size;
    m->shape = PP_SHAPE_LEAF;
    m->index = leaf.first;
    m->count = leaf.count;
    m->is_alone = leaf.alone;
    m->in_size = items + (b->marks ? leaf.count : 0);
    b->items_bytes = items;
    return items == 0 || pp_carrier_reaches(c, m->in, items);
}

static bool pack_join(struct pp_carrier *c, struct pp_task_message *m, struct pp_recipe *recipe) {
    struct pp_join join;
    if (m->input_count < 2 || m->input_count > PP_JOIN_MOST || m->in_size != pp_join_size(m->input_count)) return false;
    if (!pp_carrier_reaches(c, m->in, (size_t)m->in_size)) return false;
    memcpy(&join, m->in, (size_t)m->in_size);
    m->shape = PP_SHAPE_JOIN;
    m->index = join.first[0];
    m->count = join.first[1] - join.first[0];
    m->in_size = 0;
    return copy_recipe(c, join.recipe, recipe);
}

bool pp_is_fold(const void *function) {
    return function == pp_address_of((pp_function *)pp_leaf_task) ||
           function == pp_address_of((pp_function *)pp_join_task);
}

bool pp_fold_pack(struct pp_carrier *c, struct pp_baggage *b) {
    struct pp_task_message *m = &b->message;
    bool is_leaf = b->function == pp_address_of((pp_function *)pp_leaf_task);
    bool packed = is_leaf ? pack_leaf(c, b) : pack_join(c, m, &b->recipe);
    m->function = 0;
    m->has_in = packed && m->in_size > 0;
    return packed && m->out_size == b->recipe.out_size && m->in_size < PP_MESSAGE_MOST / 4;
}

/* ---- what a host has been told */

static void forget(struct pp_far_host *host, uint32_t place) {
    struct pp_far_fold *known = &host->folds[place];
    if (known->serial == 0) return;
    pp_host_send(host, PP_SAY_END_JOB, NUMBER_OF_JOB(place), NULL, 0);
    if (known->has_context) pp_host_send(host, PP_SAY_FORGET_CONTEXT, NUMBER_OF_CONTEXT(place), NULL, 0);
    *known = (struct pp_far_fold){0};
}

/* A place for one more reduction: of those of which no task is there, the one that was told first. */
static uint32_t find_place(const struct pp_far_host *host) {
    uint32_t best = PP_FOLDS_KNOWN;
    for (uint32_t i = 0; i < PP_FOLDS_KNOWN; i++) {
        if (host->folds[i].out > 0) continue;
        if (best == PP_FOLDS_KNOWN || host->folds[i].serial < host->folds[best].serial) best = i;
    }
    return best;
}

static bool tell(struct pp_carrier *c, struct pp_far_host *host, const struct pp_recipe *recipe, uint32_t place) {
    const void *part = address_of_part(recipe), *combine = pp_address_of((pp_function *)recipe->combine);
    struct pp_job_message m = {.function = part ? pp_carrier_function(c, part) : 0,
                               .combine = pp_carrier_function(c, combine),
                               .context = recipe->context ? NUMBER_OF_CONTEXT(place) : 0, .seed = recipe->seed,
                               .in_size = recipe->in_size, .out_size = recipe->out_size,
                               .is_block = recipe->block != NULL, .skips_failed = recipe->skip_failed};
    if (part && !pp_host_needs_function(c, host, m.function, part)) return false;
    if (!pp_host_needs_function(c, host, m.combine, combine)) return false;
    struct iovec context = {(void *)(uintptr_t)recipe->context, recipe->context_size};
    if (m.context && !pp_host_send(host, PP_SAY_CONTEXT, m.context, &context, 1)) return false;
    unsigned char fixed[PP_FIXED_MOST];
    struct iovec job = {fixed, pp_put_job(fixed, &m)};
    return pp_host_send(host, PP_SAY_JOB, NUMBER_OF_JOB(place), &job, 1);
}

uint32_t pp_fold_tell(struct pp_carrier *c, struct pp_far_host *host, const struct pp_recipe *recipe) {
    uint32_t place = 0;
    while (place < PP_FOLDS_KNOWN && host->folds[place].serial != recipe->serial) place++;
    if (place < PP_FOLDS_KNOWN) return NUMBER_OF_JOB(place);
    place = find_place(host);
    if (place == PP_FOLDS_KNOWN) return 0;
    forget(host, place);
    if (!tell(c, host, recipe, place)) return 0;
    host->folds[place] = (struct pp_far_fold){.serial = recipe->serial, .has_context = recipe->context != NULL};
    return NUMBER_OF_JOB(place);
}

void pp_fold_count(struct pp_far_host *host, uint32_t job, int more) {
    host->folds[job - NUMBER_OF_JOB(0)].out += (uint32_t)more;
}

/* ---- what the caller is told beside the outcome, which it checks */

/* The place for that; NULL: there is none. The task is the carrier's. */
static struct pp_spot *spot_of(struct pp_carrier *c, const struct pp_desc *desc) {
    const void *function = pp_address_of((pp_function *)desc->fn);
    if (!pp_is_fold(function)) return NULL;
    const void *in = desc->shape.has_extra ? ((const struct pp_extra *)desc->in)->in : desc->in;
    bool is_leaf = function == pp_address_of((pp_function *)pp_leaf_task);
    struct pp_spot *spot = is_leaf ? ((const struct pp_leaf *)in)->spot : ((const struct pp_join *)in)->spot;
    return pp_carrier_reaches(c, spot, sizeof *spot) ? spot : NULL;
}

void pp_fold_note_failure(struct pp_carrier *c, const struct pp_desc *desc, uint64_t position) {
    struct pp_spot *spot = spot_of(c, desc);
    if (spot) atomic_store_explicit(&spot->at, position, memory_order_relaxed);
}

static bool skips_failed(const struct pp_carrier *c, const struct pp_desc *desc) {
    if (pp_address_of((pp_function *)desc->fn) != pp_address_of((pp_function *)pp_leaf_task)) return false;
    const struct pp_recipe *recipe = ((const struct pp_leaf *)desc->in)->recipe;
    return pp_carrier_reaches(c, recipe, sizeof *recipe) && recipe->skip_failed;
}

bool pp_fold_take_skipped(struct pp_carrier *c, const struct pp_far_host *host, const struct pp_desc *desc,
                          const unsigned char *data, uint64_t *size) {
    if (!skips_failed(c, desc)) return true;
    uint64_t part = pp_desc_out_size(desc);
    struct pp_skipped_message m;
    struct pp_spot *spot = spot_of(c, desc);
    if (*size < part || !pp_get_skipped(data + part, (size_t)(*size - part), &m) || !spot) return false;
    *size = part;
    spot->failed = m.failed;
    spot->failed_at = m.first;
    spot->code = m.code;
    spot->pid = m.worker > 0 ? m.worker : 1;
    if (m.failed > 0) pp_host_text(host, spot->message, m.text, m.text_size, POOL_EFAILED);
    return true;
}
