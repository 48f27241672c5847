#include "pool/observer.h"

#include "pool/future_alloc.h"

void pp_watch_add(struct future *future, struct pp_watch *watch) {
    pp_end_rest(future);
    watch->next = future->watches;
    watch->link = &future->watches;
    if (watch->next) watch->next->link = &watch->next;
    future->watches = watch;
}

void pp_watch_remove(struct pp_watch *watch) {
    if (!watch->link) return;
    *watch->link = watch->next;
    if (watch->next) watch->next->link = watch->link;
    watch->next = NULL;
    watch->link = NULL;
}

void pp_watches_tell(struct future *future, enum pp_watch_event event) {
    for (struct pp_watch *watch = future->watches, *next; watch; watch = next) {
        next = watch->next;
        if (event == PP_WATCH_FREED) pp_watch_remove(watch);
        watch->tell(watch, event);
    }
}
