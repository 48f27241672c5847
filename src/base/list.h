/* A doubly linked list whose links lie in the items themselves, so that nothing is allocated and an item is removed
 * without a search.
 *
 *     struct job { struct pp_link link; … };
 *     PP_LIST_EACH(j, &pool->jobs, struct job, link) look_at(j);
 *
 * The links of a list form a ring: the last one's `next` is the first. The head is one pointer to the first, and no
 * link points back at the head. A head or a link of zeros is therefore ready for use, and a head may be moved.
 *
 * Invariant: `next` and `prev` of a link are NULL if and only if the item is on no list. */
#ifndef PP_LIST_H
#define PP_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct pp_link {
    struct pp_link *next, *prev;
};

struct pp_list {
    struct pp_link *first; /* NULL: the list is empty */
};

static inline bool pp_list_is_empty(const struct pp_list *list) {
    return !list->first;
}

/* Whether the item is on a list. */
static inline bool pp_link_is_on(const struct pp_link *link) {
    return link->next;
}

/* The item must be on no list. */
static inline void pp_list_add_back(struct pp_list *list, struct pp_link *link) {
    struct pp_link *first = list->first;
    if (!first) list->first = first = link->prev = link;
    link->next = first;
    link->prev = first->prev;
    first->prev->next = link;
    first->prev = link;
}

static inline void pp_list_add_front(struct pp_list *list, struct pp_link *link) {
    pp_list_add_back(list, link);
    list->first = link;
}

/* The item must be on this list. */
static inline void pp_list_remove(struct pp_list *list, struct pp_link *link) {
    if (list->first == link) list->first = link->next == link ? NULL : link->next;
    link->prev->next = link->next;
    link->next->prev = link->prev;
    link->next = link->prev = NULL;
}

/* The link after this one; NULL if it is the last. */
static inline struct pp_link *pp_list_next(const struct pp_list *list, const struct pp_link *link) {
    return link->next == list->first ? NULL : link->next;
}

/* The item around a link, which lies `offset` bytes from its beginning; NULL for NULL. */
static inline void *pp_list_item(struct pp_link *link, size_t offset) {
    return link ? (char *)link - offset : NULL;
}

/* The item of this type whose member `member` is the link; NULL for NULL. */
#define PP_ITEM(link, type, member) ((type *)pp_list_item(link, offsetof(type, member)))
/* The first item; NULL if the list is empty. */
#define PP_LIST_FIRST(list, type, member) PP_ITEM((list)->first, type, member)
/* The last item; NULL if the list is empty. */
#define PP_LIST_LAST(list, type, member) PP_ITEM((list)->first ? (list)->first->prev : NULL, type, member)
/* Declares `item` and runs the loop's body for each item in turn. The body may remove `item`, but no other. */
#define PP_LIST_EACH(item, list, type, member)                                                                         \
    for (type *item = PP_LIST_FIRST(list, type, member), *item##_next;                                                 \
         item && (item##_next = PP_ITEM(pp_list_next(list, &item->member), type, member), true); item = item##_next)

#endif
