/* The sandbox on Linux: the policy becomes a program of the kernel's filter (seccomp); see sandbox.h. */
#include "worker/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "worker/crash.h"
#include "worker/sandbox_policy.h"

/* Arguments are looked at by their lower halves, which lie first: on other machines there is no sandbox. */
#if defined(__x86_64__) && !defined(__ILP32__)
#define ARCHITECTURE 0xc000003eU
#elif defined(__aarch64__) && !defined(__ILP32__) && !defined(__AARCH64EB__)
#define ARCHITECTURE 0xc00000b7U
#else
#define ARCHITECTURE 0U
#endif
#define X32_BIT 0x40000000U /* of the number of a call of the x32 ABI; no other call has so high a number */

/* What the kernel defines, since its headers are not there with every C library. */
struct instruction {
    uint16_t code;
    uint8_t if_true, if_false; /* instructions to skip */
    uint32_t value;
};
struct program {
    unsigned short length;
    struct instruction *instructions;
};
enum { LOAD = 0x20, JUMP = 0x05, JUMP_EQUAL = 0x15, JUMP_GREATER = 0x25, JUMP_GE = 0x35, JUMP_SET = 0x45, AND = 0x54,
       RETURN = 0x06 };
/* Where the program finds a call's number, its architecture, and six arguments of 8 bytes. */
enum { NUMBER_AT = 0, ARCHITECTURE_AT = 4, ARGUMENTS_AT = 16, ARGUMENT_SIZE = 8 };
enum { SET_MODE_FILTER = 1, GET_ACTION_AVAIL = 2, ALL_THREADS = 1 /* a flag */ };
enum { TERMINAL_ATTRIBUTES = 0x5401, CLOSE_RANGE = 436 };
#define ALLOW 0x7fff0000U
#define TRAP 0x00030000U
#define FAIL(code) (0x00050000U | (uint32_t)(code))

bool pp_sandbox_exists(void) {
    uint32_t action = TRAP;
    return ARCHITECTURE != 0 && syscall(SYS_seccomp, GET_ACTION_AVAIL, 0, &action) == 0;
}

const char *pp_sandbox_call_name(uint64_t call) {
    for (size_t i = 0; i < pp_policy_rows; i++)
        if (pp_policy[i].number == call) return pp_policy[i].name;
    return NULL;
}

/* ---- the program */

#define ROOM 512 /* instructions */
#define LEAF 8    /* calls that are looked at in turn */
#define TO_RULE 0x80000000U /* as the distance of a jump, until that is known: the rest says to which rule */

struct writer {
    unsigned short length; /* may exceed ROOM: then the program is useless */
    const struct pp_sandbox_open *open;
    struct instruction at[ROOM];
};

static void put(struct writer *w, uint16_t code, uint8_t if_true, uint8_t if_false, uint32_t value) {
    if (w->length < ROOM) w->at[w->length] = (struct instruction){code, if_true, if_false, value};
    w->length++;
}

static void load_argument(struct writer *w, unsigned i) {
    put(w, LOAD, 0, 0, ARGUMENTS_AT + ARGUMENT_SIZE * i);
}

static void load_upper_half(struct writer *w, unsigned i) {
    put(w, LOAD, 0, 0, ARGUMENTS_AT + ARGUMENT_SIZE * i + 4);
}

static void end(struct writer *w, uint32_t action) {
    put(w, RETURN, 0, 0, action);
}

static void end_if(struct writer *w, uint32_t value, uint32_t action) {
    put(w, JUMP_EQUAL, 0, 1, value);
    end(w, action);
}

static void end_unless(struct writer *w, uint32_t value, uint32_t action) {
    put(w, JUMP_EQUAL, 1, 0, value);
    end(w, action);
}

static void end_if_set(struct writer *w, uint32_t bits, uint32_t action) {
    put(w, JUMP_SET, 0, 1, bits);
    end(w, action);
}

static void end_if_above(struct writer *w, uint32_t value, uint32_t action) {
    put(w, JUMP_GREATER, 0, 1, value);
    end(w, action);
}

/* Ends with ALLOW if the argument is one of these. */
static void allow_only(struct writer *w, unsigned argument, const uint32_t *values, size_t count, uint32_t otherwise) {
    load_argument(w, argument);
    for (size_t i = 0; i < count; i++) end_if(w, values[i], ALLOW);
    end(w, otherwise);
}

#define ALLOW_ONLY(w, argument, otherwise, ...)                                                                        \
    allow_only(w, argument, (const uint32_t[]){__VA_ARGS__}, sizeof(uint32_t[]){__VA_ARGS__} / sizeof(uint32_t),       \
               otherwise)

/* Of those that there are. */
static void allow_descriptors(struct writer *w, const int *descriptors, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (descriptors[i] > STDERR_FILENO) end_if(w, (uint32_t)descriptors[i], ALLOW);
}

static void put_mmap(struct writer *w) {
    load_argument(w, 2);
    end_if_set(w, PROT_EXEC, FAIL(EPERM)); /* a compiler at run time interprets instead */
    load_argument(w, 3);
    end_if_set(w, MAP_ANONYMOUS, ALLOW);
    end(w, FAIL(EACCES));
}

/* What is neither up to DONTNEED, nor FREE, nor from HUGE to COLLAPSE, would take memory from shared mappings, merge it
 * with that of other processes, or damage it. */
static void put_madvise(struct writer *w) {
    enum { DONTNEED = 4, FREE = 8, HUGE = 14, COLLAPSE = 25 };
    load_argument(w, 2);
    end_if(w, FREE, ALLOW);
    end_if_above(w, COLLAPSE, FAIL(EINVAL));
    put(w, JUMP_GE, 0, 1, HUGE);
    end(w, ALLOW);
    end_if_above(w, DONTNEED, FAIL(EINVAL));
    end(w, ALLOW);
}

static void put_clone(struct writer *w) {
    const uint32_t thread = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD;
    const uint32_t never = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS |
                           0x02000000 /* NEWCGROUP */ | 0x1000 /* PIDFD */ | CLONE_PTRACE | CLONE_VFORK | CLONE_PARENT;
    load_argument(w, 0);
    put(w, AND, 0, 0, thread | never);
    end_if(w, thread, ALLOW);
    end(w, TRAP);
}

/* prlimit() of this process that sets nothing. */
static void put_prlimit(struct writer *w) {
    load_argument(w, 0);
    end_unless(w, 0, FAIL(EPERM));
    load_argument(w, 2);
    end_unless(w, 0, FAIL(EPERM));
    load_upper_half(w, 2);
    end_unless(w, 0, FAIL(EPERM));
    end(w, ALLOW);
}

static void put_futex(struct writer *w) {
    enum { WAIT, WAKE, REQUEUE = 3, CMP_REQUEUE, WAKE_OP, WAIT_BITSET = 9, WAKE_BITSET, COMMANDS = 127 };
    load_argument(w, 1);
    put(w, AND, 0, 0, COMMANDS);
    const uint32_t commands[] = {WAIT_BITSET, WAIT, WAKE, REQUEUE, CMP_REQUEUE, WAKE_OP, WAKE_BITSET};
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) end_if(w, commands[i], ALLOW);
    end(w, FAIL(ENOSYS));
}

/* What is done about a call whose arguments matter. Each case ends. */
static void put_rule(struct writer *w, enum pp_rule rule) {
    uint32_t self = (uint32_t)getpid(), thread = (uint32_t)syscall(SYS_gettid);
    switch (rule) {
    case PP_READS:
        load_argument(w, 0);
        end_if(w, STDOUT_FILENO, FAIL(EBADF));
        end_if(w, STDERR_FILENO, FAIL(EBADF));
        end(w, ALLOW);
        break;
    case PP_WRITES:
        load_argument(w, 0);
        allow_descriptors(w, (const int[]){w->open->bell, w->open->outputs[0], w->open->outputs[1]}, 3);
        end_if(w, STDOUT_FILENO, ALLOW);
        end_if(w, STDERR_FILENO, ALLOW);
        end(w, FAIL(EBADF));
        break;
    case PP_REWRITES:
        load_argument(w, 0);
        allow_descriptors(w, w->open->files, 2);
        end(w, TRAP);
        break;
    case PP_MAPS: put_mmap(w); break;
    case PP_PROTECTS:
        load_argument(w, 2);
        end_if_set(w, PROT_EXEC, FAIL(EPERM));
        end(w, ALLOW);
        break;
    case PP_ADVISES: put_madvise(w); break;
    case PP_SLEEPS: put_futex(w); break;
    case PP_SIGNALS: ALLOW_ONLY(w, 0, TRAP, self); break;
    case PP_SIGNALS_THREAD: ALLOW_ONLY(w, 0, TRAP, self, thread); break;
    case PP_OWN_CPUS: ALLOW_ONLY(w, 0, FAIL(EPERM), 0, self, thread); break;
    case PP_OWN_LIMITS: put_prlimit(w); break;
    case PP_THREADS: put_clone(w); break;
    case PP_TERMINAL: ALLOW_ONLY(w, 1, FAIL(ENOTTY), TERMINAL_ATTRIBUTES); break;
    case PP_FLAGS: ALLOW_ONLY(w, 1, FAIL(EPERM), F_GETFD, F_GETFL); break;
    case PP_HANDLES:
        load_argument(w, 0);
        end_if(w, SIGSYS, FAIL(EINVAL));
        end(w, ALLOW);
        break;
    default: end(w, TRAP);
    }
}

static const uint32_t actions[] = {[PP_FORBIDDEN] = TRAP, [PP_ALLOWED] = ALLOW, [PP_NO_ENTRY] = FAIL(EACCES),
                                   [PP_NO_RIGHT] = FAIL(EPERM), [PP_NO_CALL] = FAIL(ENOSYS)};

/* A few calls, and what is done about them. A rule that depends on arguments is written once, behind all calls. */
static void put_calls_in_turn(struct writer *w, const struct pp_policy_row *const *rows, size_t count) {
    unsigned short first = w->length;
    for (size_t i = 0; i < count; i++) put(w, JUMP_EQUAL, 0, 0, rows[i]->number);
    end(w, TRAP);
    for (unsigned rule = 0; rule < PP_RULES; rule++) {
        unsigned short here = w->length;
        bool used = false;
        for (size_t i = 0; i < count && here < ROOM; i++) {
            if (rows[i]->rule != rule) continue;
            w->at[first + i].if_true = (uint8_t)(here - first - i - 1);
            used = true;
        }
        if (used && rule < PP_READS) end(w, actions[rule]);
        else if (used) put(w, JUMP, 0, 0, TO_RULE | rule);
    }
}

/* Rows by number, without those of calls that are refused in any case. Returns how many there are. */
static size_t sort(const struct pp_policy_row *sorted[PP_POLICY_ROWS]) {
    size_t count = 0;
    for (size_t i = 0; i < pp_policy_rows; i++) {
        if (pp_policy[i].rule == PP_FORBIDDEN) continue;
        size_t at = count++;
        for (; at > 0 && sorted[at - 1]->number > pp_policy[i].number; at--) sorted[at] = sorted[at - 1];
        sorted[at] = &pp_policy[i];
    }
    return count;
}

/* A tree, by number: the kernel runs the program for every number when a filter begins, to know which calls need no
 * look at it. Of two halves the left one is skipped by a jump of its own, which reaches farther. */
static void put_calls(struct writer *w, const struct pp_policy_row *const *rows, size_t count) {
    if (count <= LEAF) {
        put_calls_in_turn(w, rows, count);
        return;
    }
    size_t half = count / 2;
    put(w, JUMP_GE, 0, 1, rows[half]->number);
    unsigned short skip = w->length;
    put(w, JUMP, 0, 0, 0);
    put_calls(w, rows, half);
    if (w->length < ROOM) w->at[skip].value = w->length - skip - 1U;
    put_calls(w, rows + half, count - half);
}

/* Until now, jumps to rules have said to which. */
static void put_rules(struct writer *w) {
    unsigned short calls = w->length;
    for (unsigned rule = PP_READS; rule < PP_RULES; rule++) {
        for (unsigned short i = 0; i < calls && i < ROOM; i++)
            if (w->at[i].code == JUMP && w->at[i].value == (TO_RULE | rule)) w->at[i].value = w->length - i - 1U;
        put_rule(w, (enum pp_rule)rule);
    }
}

static bool write_program(struct writer *w) {
    const struct pp_policy_row *rows[PP_POLICY_ROWS];
    size_t count = sort(rows);
    w->length = 0;
    put(w, LOAD, 0, 0, ARCHITECTURE_AT);
    end_unless(w, ARCHITECTURE, TRAP);
    put(w, LOAD, 0, 0, NUMBER_AT);
    put(w, JUMP_GE, 0, 1, X32_BIT);
    end(w, TRAP);
    end_if_above(w, PP_POLICY_LAST, FAIL(ENOSYS));
    put_calls(w, rows, count);
    put_rules(w);
    return w->length <= ROOM;
}

/* ---- entering */

int pp_sandbox_enter(const struct pp_sandbox_open *open) {
    struct writer w = {.open = open};
    if (!write_program(&w)) return E2BIG;
    struct program program = {w.length, w.at};
    if (!pp_crash_enter_sandbox() || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) return errno;
    /* Threads of the initializer enter it, too. More than 0: one of them has another filter. */
    long failed = syscall(SYS_seccomp, SET_MODE_FILTER, ALL_THREADS, &program);
    return failed == 0 ? 0 : failed < 0 ? errno : EBUSY;
}

bool pp_sandbox_close_range(unsigned first, unsigned last) {
    return syscall(CLOSE_RANGE, first, last, 0) == 0;
}
