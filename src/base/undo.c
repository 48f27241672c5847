#include "base/undo.h"

static _Thread_local unsigned undoing;

void pp_undo(struct pp_guard *guard) {
    if (!guard->undo) return;
    undoing++;
    guard->undo(guard->of);
    undoing--;
}

bool pp_is_undoing(void) {
    return undoing > 0;
}
