#include "throw.h"

#include <cstdlib>
#include <exception>
#include <stdexcept>
#include <unistd.h>
#include <unwind.h>

namespace {

struct own {};

[[noreturn]] void raise_foreign() {
    static _Unwind_Exception exception;
    exception.exception_class = 0x544553544c414e47; /* TESTLANG */
    _Unwind_RaiseException(&exception);
    std::abort();
}

_Unwind_Reason_Code stop(int, _Unwind_Action actions, _Unwind_Exception_Class, _Unwind_Exception *, _Unwind_Context *,
                         void *) {
    if (actions & _UA_END_OF_STACK) std::abort();
    return _URC_NO_REASON;
}

void throw_standard() {
    throw std::runtime_error("a bad item");
}

int throw_nothing() noexcept {
    throw_standard();
    return 0;
}

struct intrusions *seen;

void note(int *count) {
    __atomic_fetch_add(count, 1, __ATOMIC_SEQ_CST);
    _exit(0);
}

struct scope {
    struct intrusions *intrusions;
    pid_t program = getpid();
    explicit scope(struct intrusions *to) : intrusions(to) {}
    ~scope() {
        if (getpid() != program) note(&intrusions->destructors);
    }
};

} // namespace

int throw_it(enum thrown what) {
    static _Unwind_Exception forced;
    switch (what) {
    case STANDARD_EXCEPTION: throw_standard(); return 0;
    case OWN_EXCEPTION: throw own();
    case NUMBER: throw 42;
    case FOREIGN_EXCEPTION: raise_foreign();
    case FORCED_UNWINDING: _Unwind_ForcedUnwind(&forced, stop, nullptr); std::abort();
    case NOEXCEPT_BROKEN: return throw_nothing();
    default: return 0;
    }
}

int call_guarded(int (*body)(void *argument), void *argument, struct intrusions *intrusions) {
    pid_t program = getpid();
    try {
        scope objects(intrusions);
        return body(argument);
    } catch (...) {
        if (getpid() != program) note(&intrusions->catches);
        return -1;
    }
}

void set_terminate_handler(struct intrusions *intrusions) {
    static const std::terminate_handler before = std::get_terminate();
    seen = intrusions;
    if (seen) std::set_terminate([] { note(&seen->terminations); });
    else std::set_terminate(before);
}
