#include "pool/observer.h"

#include "pool/future_alloc.h"

void pp_observer_add(struct future *future, struct pp_observer *observer) {
    pp_attach(future);
    observer->future = future;
    pp_list_add_front(&future->observers, &observer->link);
}

void pp_observer_remove(struct pp_observer *observer) {
    if (pp_link_is_on(&observer->link)) pp_list_remove(&observer->future->observers, &observer->link);
}

void pp_observers_notify(struct future *future, enum pp_observer_event event) {
    PP_LIST_EACH(observer, &future->observers, struct pp_observer, link) {
        if (event == PP_OBSERVED_FREED) pp_observer_remove(observer);
        observer->tell(observer, event);
    }
}
