#include "pool/fold.h"

#include <string.h>

#include "worker/task.h"

/* The i-th item of the leaf; NULL: items have no arguments. */
static const char *item_of(const struct pp_leaf *leaf, uint64_t i) {
    const struct pp_recipe *recipe = leaf->recipe;
    if (recipe->in_size == 0) return NULL;
    return recipe->in ? recipe->in + (leaf->first + i) * recipe->in_size
                      : (const char *)(leaf + 1) + i * recipe->in_size;
}

static void set_at(const struct pp_leaf *leaf, uint64_t i) {
    atomic_store_explicit(&leaf->spot->at, leaf->first + i, memory_order_relaxed);
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

static int run_leaf(const struct pp_leaf *leaf, char *out) {
    const struct pp_recipe *recipe = leaf->recipe;
    if (recipe->block) return fold_leaf(leaf, out);
    for (uint64_t i = 0; i < leaf->count; i++) {
        void *part = i == 0 ? (void *)out : leaf->spot->part;
        set_at(leaf, i);
        const void *item = item_of(leaf, i);
        int code = 0;
        if (recipe->fn) code = recipe->fn(item, part);
        else memcpy(part, item, recipe->out_size);
        if (!code && i > 0) code = recipe->combine(out, part);
        if (code) return code;
    }
    return 0;
}

/* The worker resets all of it before its next task, but the context only after a task with inputs: a leaf has none, and
 * resets it itself. */
static void set_up_call(const struct pp_recipe *recipe, const _Atomic uint64_t *index, size_t in_size) {
    struct pp_call *call = pp_call_here();
    call->position = index;
    call->items = NULL;
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

int pp_join_task(const void *in, void *out) {
    const struct pp_join *join = in;
    set_up_call(join->recipe, &join->right, join->recipe->out_size);
    memcpy(out, task_input(0, NULL), join->recipe->out_size);
    return join->recipe->combine(out, task_input(1, NULL));
}
