#include "pool/observer.h"

#include "pool/future_alloc.h"

void pp_observer_add(struct future *future, struct pp_observer *watch) {
    pp_attach(future);
    watch->next = future->observers;
    watch->link = &future->observers;
    if (watch->next) watch->next->link = &watch->next;
    future->observers = watch;
}

void pp_observer_remove(struct pp_observer *watch) {
    if (!watch->link) return;
    *watch->link = watch->next;
    if (watch->next) watch->next->link = watch->link;
    watch->next = NULL;
    watch->link = NULL;
}

void pp_observers_notify(struct future *future, enum pp_observer_event event) {
    for (struct pp_observer *watch = future->observers, *next; watch; watch = next) {
        next = watch->next;
        if (event == PP_OBSERVED_FREED) pp_observer_remove(watch);
        watch->tell(watch, event);
    }
}
