#include "worker/fold.h"

#include <string.h>
#include <unistd.h>

#include "worker/task.h"

/* The i-th item of the leaf; NULL: items have no arguments. */
static const char *item_of(const struct pp_leaf *leaf, uint64_t i) {
    const struct pp_recipe *recipe = leaf->recipe;
    if (recipe->in_size == 0) return NULL;
    return recipe->in ? recipe->in + (leaf->first + i) * recipe->in_size
                      : (const char *)(leaf + 1) + i * recipe->in_size;
}

static void set_spot(struct pp_spot *spot, uint64_t item) {
    atomic_store_explicit(&spot->at, item, memory_order_relaxed);
}

static void set_at(const struct pp_leaf *leaf, uint64_t i) {
    set_spot(leaf->spot, leaf->first + i);
}

/* What a call has said with task_fail_item(): of the first of those items. */
struct flaw {
    size_t i;
    int code; /* 0: nothing */
};

static void note_flaw(void *owner, size_t i, int code, const char *message) {
    struct flaw *flaw = owner;
    if (flaw->code && flaw->i < i) return;
    *flaw = (struct flaw){.i = i, .code = code};
    task_fail(code, "%s", message);
}

/* Calls the block function for `count` items of the leaf, from the i-th on. *named: which of them has failed, if the
 * call says so. */
static int call_block(const struct pp_leaf *leaf, size_t i, size_t count, void *part, bool *named) {
    struct pp_call *call = pp_call_here();
    struct flaw flaw = {.code = 0};
    set_at(leaf, i);
    call->has_message = false;
    call->count = count;
    call->fail_item = note_flaw;
    call->owner = &flaw;
    int code = leaf->recipe->block(item_of(leaf, i), count, part);
    call->count = 0;
    *named = count == 1 || (code == 0 && flaw.code);
    if (code || !flaw.code) return code;
    set_at(leaf, i + flaw.i);
    call->message_index = task_index();
    return flaw.code;
}

/* The failure is that of the first item that fails alone, too; of the leaf if none does. */
static int fold_leaf(const struct pp_leaf *leaf, char *out) {
    bool named;
    int code = call_block(leaf, 0, (size_t)leaf->count, out, &named), alone = 0;
    if (code == 0 || named) return code;
    for (size_t i = 0; i < leaf->count && alone == 0; i++) alone = call_block(leaf, i, 1, leaf->spot->part, &named);
    if (alone) return alone;
    set_at(leaf, 0);
    return code;
}

static void note_failed_item(struct pp_spot *spot, int code) {
    struct pp_call *call = pp_call_here();
    if (spot->failed++ > 0) return;
    spot->failed_at = task_index();
    spot->code = code;
    spot->pid = (int32_t)getpid();
    if (call->has_message && call->message_index == task_index()) memcpy(spot->message, call->message, PP_MESSAGE);
}

static int make_part(const struct pp_leaf *leaf, size_t i, void *part) {
    const struct pp_recipe *recipe = leaf->recipe;
    bool named;
    if (recipe->block) return call_block(leaf, i, 1, part, &named);
    set_at(leaf, i);
    if (recipe->fn) return recipe->fn(item_of(leaf, i), part);
    memcpy(part, item_of(leaf, i), recipe->out_size);
    return 0;
}

/* Each item alone, from left to right; those that fail, or are marked, are left out with skip_failed. */
static int run_items(const struct pp_leaf *leaf, char *out) {
    const struct pp_recipe *recipe = leaf->recipe;
    const char *marks = recipe->skip_failed ? (const char *)leaf + pp_leaf_mark(recipe, (size_t)leaf->count, 0) : NULL;
    bool has_part = false;
    for (size_t i = 0; i < leaf->count; i++) {
        if (marks && marks[i]) continue;
        void *part = has_part ? (void *)leaf->spot->part : out;
        int code = make_part(leaf, i, part);
        if (code && marks) {
            note_failed_item(leaf->spot, code);
            continue;
        }
        if (!code && has_part) code = recipe->combine(out, part);
        if (code) return code;
        has_part = true;
    }
    return 0;
}

static int run_leaf(const struct pp_leaf *leaf, char *out) {
    const struct pp_recipe *recipe = leaf->recipe;
    bool named;
    if (!recipe->skip_failed) return recipe->block ? fold_leaf(leaf, out) : run_items(leaf, out);
    leaf->spot->failed = 0;
    leaf->spot->message[0] = '\0';
    if (recipe->block && !leaf->alone && call_block(leaf, 0, (size_t)leaf->count, out, &named) == 0) return 0;
    return run_items(leaf, out);
}

/* The worker resets all of it before its next task, but the context only after a task with inputs: a leaf has none, and
 * resets it itself. */
static void set_up_call(const struct pp_recipe *recipe, const _Atomic uint64_t *index, size_t in_size) {
    struct pp_call *call = pp_call_here();
    call->position = index;
    call->items = call->names = NULL;
    call->first_name = 0;
    call->seed = recipe->seed;
    call->context = recipe->context;
    call->in_size = in_size;
    call->out_size = recipe->out_size;
    call->sizes = NULL;
}

int pp_leaf_task(const void *in, void *out) {
    const struct pp_leaf *leaf = in;
    set_up_call(leaf->recipe, &leaf->spot->at, leaf->recipe->in_size);
    int code = run_leaf(leaf, out);
    pp_call_here()->context = NULL;
    return code;
}

/* Parts that are still to be combined, like the digits of a binary counter. The first is made where the result belongs,
 * the others in memory of the call's own. */
struct digits {
    char *part[PP_JOIN_DIGITS];
    uint64_t first[PP_JOIN_DIGITS]; /* item */
    unsigned digit[PP_JOIN_DIGITS];
    unsigned depth;
};

static int combine_with(const struct pp_join *join, struct digits *d, const void *right, uint64_t first) {
    set_spot(join->spot, first);
    d->digit[d->depth - 1]++;
    return join->recipe->combine(d->part[d->depth - 1], right);
}

/* Combines what lies on top: what stands for equally many leaves, or all of it. */
static int carry(const struct pp_join *join, struct digits *d, bool all) {
    int code = 0;
    while (!code && d->depth >= 2 && (all || d->digit[d->depth - 1] == d->digit[d->depth - 2])) {
        d->depth--;
        code = combine_with(join, d, d->part[d->depth], d->first[d->depth]);
    }
    return code;
}

int pp_join_task(const void *in, void *out) {
    _Alignas(16) char room[PP_JOIN_DIGITS - 1][PP_JOIN_SMALL];
    const struct pp_join *join = in;
    size_t count = task_input_count(), size = join->recipe->out_size;
    struct digits d = {.part = {out, room[0], room[1], room[2]}};
    set_up_call(join->recipe, &join->spot->at, size);
    int code = 0;
    for (size_t i = 0; i < count && !code; i++) {
        bool is_last = i + 1 == count;
        if (is_last || (d.depth > 0 && d.digit[d.depth - 1] == 0)) {
            code = combine_with(join, &d, task_input(i, NULL), join->first[i]);
            if (!code) code = carry(join, &d, is_last);
        } else {
            d.first[d.depth] = join->first[i];
            d.digit[d.depth] = 0;
            memcpy(d.part[d.depth++], task_input(i, NULL), size);
        }
    }
    return code;
}
