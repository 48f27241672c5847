#include "pool/fold.h"

#include <string.h>

#include "worker/task.h"

static int run_leaf(const struct pp_leaf *leaf, char *out) {
    const struct pp_recipe *recipe = leaf->recipe;
    const char *items = recipe->in ? recipe->in + leaf->first * recipe->in_size : (const char *)(leaf + 1);
    for (uint64_t i = 0; i < leaf->count; i++) {
        void *part = i == 0 ? (void *)out : leaf->spot->part;
        atomic_store_explicit(&leaf->spot->at, leaf->first + i, memory_order_relaxed);
        const void *item = recipe->in_size ? items + i * recipe->in_size : NULL;
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
