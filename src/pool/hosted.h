/* A pool with hosts beside this one: what its options say of them, and what the program is told of them. All else is
 * done by the carrier; see remote/carrier.h.
 *
 * Invariant: what is read of hosts lies where workers can write, and is checked.
 * Called by: lifetime (makes and ends it), graph, map, imap and reduce (what may not be), demand (how many workers are
 * of this host), stats, tracing, call and wait (tell). */
#ifndef PP_HOSTED_H
#define PP_HOSTED_H

#include "pool/pool.h"
#include "shared/carried.h"

/* Finds out which hosts the options mean. *setup is NULL if there are none. Returns 0, POOL_ENOMEM, or POOL_EINVAL and
 * says why on stderr. */
int pp_hosted_begin(const struct pool_options *options, struct pp_carrier_setup **setup);
/* setup: may be NULL, as for the next. */
void pp_hosted_end(struct pp_carrier_setup *setup);
uint32_t pp_hosted_count(const struct pp_carrier_setup *setup);
/* Whether tasks of the pool may have this context. Returns 0, or POOL_EINVAL: the pool has hosts, and it is an address;
 * stderr is told why, once a pool. Under the pool's lock. */
int pp_hosted_refuse(struct pool *pool);
static inline int pp_hosted_check(struct pool *pool, const void *context, size_t size) {
    return context && size == 0 && pool->carrier ? pp_hosted_refuse(pool) : 0;
}
/* Waits until as many hosts are up as the options ask for. Returns false if they are not to be had. */
bool pp_hosted_await(struct pool *pool);

/* Of so many numbers of workers, those of workers on this host. */
static inline uint32_t pp_local_workers(const struct pool *pool, uint32_t numbers) {
    uint32_t carriers = pool->carrier ? 1 : 0;
    return numbers > carriers ? numbers - carriers : 0;
}

/* Tasks and items that run on other hosts. */
uint64_t pp_hosted_running(const struct pool *pool);
/* Adds the hosts that are up to the list. given: tasks and items that the pool ever had. */
void pp_hosted_list(const struct pool *pool, struct pool_stats *stats, uint64_t given);
/* Calls the program's host_event. Under the pool's lock, which it releases meanwhile. */
void pp_hosted_tell(struct pool *pool);

#endif
