/* The texts of the codes. Invariant: every POOL_E… of the header has one line here. */
#include "parpool.h"

#define TEXT(version) #version
#define VERSION(major, minor, patch) TEXT(major) "." TEXT(minor) "." TEXT(patch)

/* X(name, meaning) */
#define CODES(X)                                                                                                       \
    X(POOL_END, "there is no more")                                                                                    \
    X(POOL_EINVAL, "invalid argument")                                                                                 \
    X(POOL_ENOMEM, "out of memory, or the arena is full")                                                              \
    X(POOL_EAGAIN, "the system has no process, thread or descriptor to give")                                          \
    X(POOL_ECLOSED, "the pool was shut down")                                                                          \
    X(POOL_EBUSY, "it is running or done, or not done yet, or in another call")                                        \
    X(POOL_ETIMEDOUT, "the wait timed out")                                                                            \
    X(POOL_ECANCELLED, "cancelled or killed on request")                                                               \
    X(POOL_EFAILED, "the task failed")                                                                                 \
    X(POOL_EDIED, "the worker process died")                                                                           \
    X(POOL_EDEADLINE, "the task ran past its time-out and was killed")                                                 \
    X(POOL_EINIT, "the initializer keeps failing")                                                                     \
    X(POOL_EFOREIGN, "the handle was used in another process, or in a task of its pool")                               \
    X(POOL_ECORRUPT, "a worker overwrote the shared memory of the pool")                                               \
    X(POOL_EDEPENDENCY, "a task or job that it comes after failed")                                                    \
    X(POOL_ENOTSUP, "the system cannot do what an option asks for")

#define CASE_TEXT(name, meaning) case name: return #name ": " meaning;
#define CASE_NAME(name, meaning) case name: return #name;

const char *pool_strerror(int code) {
    switch (code) {
    case 0: return "success";
        CODES(CASE_TEXT)
    default: return "unknown code";
    }
}

const char *pool_error_name(int code) {
    switch (code) {
    case 0: return "0";
        CODES(CASE_NAME)
    default: return "unknown";
    }
}

const char *pool_version(void) {
    return VERSION(PARPOOL_VERSION_MAJOR, PARPOOL_VERSION_MINOR, PARPOOL_VERSION_PATCH);
}
