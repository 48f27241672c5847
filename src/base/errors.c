/* The texts of the codes. Invariant: every POOL_E… of the header has one line here. */
#include "parpool.h"

const char *pool_strerror(int code) {
    switch (code) {
    case 0: return "success";
    case POOL_END: return "POOL_END: there is no more";
    case POOL_EINVAL: return "POOL_EINVAL: invalid argument";
    case POOL_ENOMEM: return "POOL_ENOMEM: out of memory, or the arena is full";
    case POOL_EAGAIN: return "POOL_EAGAIN: the system has no process or descriptor to give";
    case POOL_ECLOSED: return "POOL_ECLOSED: the pool was shut down";
    case POOL_EBUSY: return "POOL_EBUSY: it is running or done, or not done yet";
    case POOL_ETIMEDOUT: return "POOL_ETIMEDOUT: the wait timed out";
    case POOL_ECANCELLED: return "POOL_ECANCELLED: cancelled or killed on request";
    case POOL_EFAILED: return "POOL_EFAILED: the task failed";
    case POOL_EDIED: return "POOL_EDIED: the worker process died";
    case POOL_EDEADLINE: return "POOL_EDEADLINE: the task ran past its time-out and was killed";
    case POOL_EINIT: return "POOL_EINIT: the initializer keeps failing";
    case POOL_EFOREIGN: return "POOL_EFOREIGN: the handle belongs to another process";
    case POOL_ECORRUPT: return "POOL_ECORRUPT: a worker overwrote the shared memory of the pool";
    case POOL_EDEPENDENCY: return "POOL_EDEPENDENCY: a task or job that it comes after failed";
    default: return "unknown code";
    }
}
