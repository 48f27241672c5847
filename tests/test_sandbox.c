/* What a task in a sandbox tries that hostile input has taken over: each attempt is refused, and told by name if it
 * ends the worker. Nothing of it reaches the program, its files or other processes. */
#include "support.h"

#if LINUX
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/shared.h"
#include "worker/task.h"

#define PAGE ((size_t)65536)

static char secret[64] = "the program's own";
static int file_of_program = -1, file_of_initializer = -1;
static pid_t bystander;

static struct pool_options sandboxed(int workers) {
    struct pool_options options = test_options(workers);
    options.sandbox = POOL_SANDBOX_COMPUTE;
    return options;
}

static char *first_half(void) {
    return pp_call_here()->shared->base;
}

static size_t first_half_size(void) {
    return pp_call_here()->shared->writable;
}

/* ---- attempts */

/* Each returns what the system returned. Numbers that headers may lack are the same on all machines. */
#define TRY(name, call)                                                                                                \
    static long try_##name(void) {                                                                                     \
        return (long)(call);                                                                                           \
    }

static char room[4096];
static struct stat of_file;
static struct iovec here = {room, sizeof secret}, there = {secret, sizeof secret};

TRY(open_file, open("/etc/passwd", O_RDONLY))
TRY(create_file, open("/tmp/parpool-sandbox-test", O_CREAT | O_WRONLY, 0600))
TRY(open_memory, open("/proc/self/mem", O_RDWR))
TRY(stat_file, fstatat(AT_FDCWD, "/etc/passwd", &of_file, 0))
TRY(readlink_file, readlinkat(AT_FDCWD, "/proc/self/exe", room, sizeof room))
TRY(unlink_file, syscall(SYS_unlinkat, AT_FDCWD, "/tmp/parpool-sandbox-test", 0))
TRY(rename_file, syscall(SYS_renameat2, AT_FDCWD, "/tmp/parpool-sandbox-test", AT_FDCWD, "/tmp/parpool-sandbox", 0))
TRY(mkdir_file, syscall(SYS_mkdirat, AT_FDCWD, "/tmp/parpool-sandbox-test", 0700))
TRY(chdir, chdir("/"))
TRY(mount, syscall(SYS_mount, "none", "/", "tmpfs", 0, NULL))
TRY(socket, socket(AF_INET, SOCK_STREAM, 0))
TRY(socketpair, socketpair(AF_UNIX, SOCK_STREAM, 0, (int *)(void *)room))
TRY(sendmsg, syscall(SYS_sendmsg, 1, room, 0))
TRY(pipe, syscall(SYS_pipe2, room, 0))
TRY(clone, syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0))
TRY(clone_namespace, syscall(SYS_clone, 0x10000000 | CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD,
                             room + sizeof room, 0, 0, 0))
TRY(clone3, syscall(435, room, 88))
TRY(exec, execl("/bin/true", "true", (char *)NULL))
TRY(execveat, syscall(SYS_execveat, AT_FDCWD, "/bin/true", NULL, NULL, 0))
TRY(wait, syscall(SYS_wait4, -1, NULL, WNOHANG, NULL))
TRY(kill_parent, kill(getppid(), 0))
TRY(kill_bystander, kill(bystander, SIGKILL))
TRY(kill_all, kill(-1, 0))
TRY(kill_group, kill(0, SIGURG))
TRY(tgkill, syscall(SYS_tgkill, bystander, bystander, SIGKILL))
TRY(tkill, syscall(SYS_tkill, bystander, SIGKILL))
TRY(queue, syscall(SYS_rt_sigqueueinfo, bystander, SIGKILL, room))
TRY(trace, ptrace(PTRACE_ATTACH, bystander, 0, 0))
TRY(read_process, process_vm_readv(bystander, &here, 1, &there, 1, 0))
TRY(write_process, process_vm_writev(bystander, &here, 1, &there, 1, 0))
TRY(pidfd, syscall(434, bystander, 0))
TRY(pidfd_signal, syscall(424, 1, SIGKILL, NULL, 0))
TRY(compare, syscall(SYS_kcmp, getpid(), bystander, 0, 0, 0))
TRY(affinity, sched_setaffinity(bystander, sizeof room, (cpu_set_t *)(void *)room))
TRY(limits_of_other, syscall(SYS_prlimit64, bystander, RLIMIT_NOFILE, NULL, room))
TRY(own_limit, syscall(SYS_prlimit64, 0, RLIMIT_CORE, room, NULL))
TRY(priority, setpriority(PRIO_PROCESS, (id_t)bystander, 10))
TRY(user, syscall(SYS_setuid, 1))
TRY(user_namespace, syscall(SYS_unshare, 0x10000000))
TRY(other_namespace, syscall(SYS_setns, 0, 0))
TRY(io_uring, syscall(425, 8, room))
TRY(bpf, syscall(SYS_bpf, 0, room, 128))
TRY(perf, syscall(SYS_perf_event_open, room, 0, -1, -1, 0))
TRY(keys, syscall(SYS_keyctl, 0, -3, 0))
TRY(userfault, syscall(SYS_userfaultfd, 0))
TRY(memfd, syscall(SYS_memfd_create, "x", 0))
TRY(message_queue, syscall(SYS_mq_open, "/x", O_CREAT | O_RDWR, 0600, NULL))
TRY(system_v, syscall(SYS_shmget, 0, 4096, 0600))
TRY(inotify, syscall(SYS_inotify_init1, 0))
TRY(filter, syscall(SYS_seccomp, 0, 0, NULL))
TRY(undo, prctl(PR_SET_SECCOMP, 0) | prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0))
TRY(outlive_parent, prctl(PR_SET_PDEATHSIG, 0))
TRY(personality, personality(READ_IMPLIES_EXEC))
TRY(unknown, syscall(449 + 21))
TRY(priority_futex, syscall(SYS_futex, room, 6 /* FUTEX_LOCK_PI */, 0, NULL, NULL, 0))
TRY(type_into_terminal, ioctl(1, TIOCSTI, room))
TRY(change_flags, fcntl(1, F_SETFL, O_NONBLOCK))
TRY(duplicate, fcntl(1, F_DUPFD, 10))
TRY(dup, dup(1))
TRY(dup3, syscall(SYS_dup3, 1, 77, 0))
TRY(read_output, read(1, room, 1))
TRY(seek_output, lseek(1, 0, SEEK_SET))
TRY(truncate_output, ftruncate(1, 0))
TRY(overwrite_output, syscall(SYS_pwrite64, 1, room, 0, 0))
TRY(send_file, syscall(SYS_sendfile, 1, file_of_initializer, NULL, 1))
TRY(write_program_file, write(file_of_program, "x", 1))
TRY(read_program_file, read(file_of_program, room, 1))
TRY(write_initializer_file, write(file_of_initializer, "x", 1))
TRY(map_initializer_file,
    mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file_of_initializer, 0) == MAP_FAILED ? -1 : 0)
TRY(map_code, syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))
TRY(make_code, mprotect((char *)((uintptr_t)(room + 4095) & ~(uintptr_t)4095) - 4096, 4096, PROT_READ | PROT_EXEC))
TRY(shuffle_pages, syscall(SYS_remap_file_pages, first_half(), PAGE, 0, 1, 0))
TRY(unprotect, mprotect(first_half(), first_half_size(), PROT_READ | PROT_WRITE))
TRY(unprotect_starts, mprotect(pp_call_here()->shared->starts, PAGE, PROT_READ | PROT_WRITE))
TRY(punch, madvise(first_half(), PAGE, MADV_REMOVE))
TRY(poison, madvise(room, 4096, 100))

static long try_second_mapping(void) {
    char *copy = mremap(first_half(), 0, PAGE, MREMAP_MAYMOVE);
    return copy == MAP_FAILED ? -1 : mprotect(copy, PAGE, PROT_READ | PROT_WRITE);
}

static void let_be(int signal) {
    (void)signal;
}

static long try_own_handler(void) {
    return signal(SIGSYS, let_be) == SIG_ERR ? -1 : 0;
}

static long try_with_signals_blocked(void) {
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    return socket(AF_INET, SOCK_STREAM, 0);
}

static void *open_socket(void *result) {
    *(long *)result = socket(AF_INET, SOCK_STREAM, 0);
    return NULL;
}

static long try_in_thread(void) {
    pthread_t thread;
    long result = 0;
    if (pthread_create(&thread, NULL, open_socket, &result)) return 0;
    pthread_join(thread, NULL);
    return result;
}

#if defined(__x86_64__)
/* getpid() of 32-bit programs. */
static long try_32_bit_call(void) {
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(20L), "b"(0L) : "memory", "r8", "r9", "r10", "r11");
    return result;
}
TRY(x32_call, syscall(0x40000000 + SYS_getpid))
#endif

/* What comes of it: the message of a worker that has ended, or errno. */
static const struct attempt {
    long (*run)(void);
    const char *name, *told;
    int code;
} attempts[] = {
#define ENDS(name, call) {try_##name, #name, "the sandbox refused " call, 0}
#define FAILS(name, code) {try_##name, #name, NULL, code}
    FAILS(open_file, EACCES), FAILS(create_file, EACCES), FAILS(open_memory, EACCES), FAILS(stat_file, EACCES),
    FAILS(readlink_file, EACCES), ENDS(unlink_file, "unlinkat()"), ENDS(rename_file, "renameat2()"),
    ENDS(mkdir_file, "mkdirat()"), ENDS(chdir, "chdir()"), ENDS(mount, "mount()"), ENDS(socket, "socket()"),
    ENDS(socketpair, "socketpair()"), ENDS(sendmsg, "sendmsg()"), ENDS(pipe, "pipe2()"), ENDS(clone, "clone()"),
    ENDS(clone_namespace, "clone()"), FAILS(clone3, ENOSYS), ENDS(exec, "execve()"), ENDS(execveat, "execveat()"),
    ENDS(wait, "wait4()"), ENDS(kill_parent, "kill()"), ENDS(kill_bystander, "kill()"), ENDS(kill_all, "kill()"),
    ENDS(kill_group, "kill()"), ENDS(tgkill, "tgkill()"), ENDS(tkill, "tkill()"), ENDS(queue, "rt_sigqueueinfo()"),
    ENDS(trace, "ptrace()"), ENDS(read_process, "process_vm_readv()"), ENDS(write_process, "process_vm_writev()"),
    ENDS(pidfd, "pidfd_open()"), ENDS(pidfd_signal, "pidfd_send_signal()"), ENDS(compare, "kcmp()"),
    FAILS(affinity, EPERM), FAILS(limits_of_other, EPERM), FAILS(own_limit, EPERM), FAILS(priority, EPERM),
    ENDS(user, "setuid()"), ENDS(user_namespace, "unshare()"), ENDS(other_namespace, "setns()"),
    ENDS(io_uring, "io_uring_setup()"), ENDS(bpf, "bpf()"), ENDS(perf, "perf_event_open()"), ENDS(keys, "keyctl()"),
    ENDS(userfault, "userfaultfd()"), ENDS(memfd, "memfd_create()"), ENDS(message_queue, "mq_open()"),
    ENDS(system_v, "shmget()"), ENDS(inotify, "inotify_init1()"), ENDS(filter, "seccomp()"), FAILS(undo, EPERM),
    FAILS(outlive_parent, EPERM), FAILS(personality, EPERM), FAILS(unknown, ENOSYS), FAILS(priority_futex, ENOSYS),
    FAILS(type_into_terminal, ENOTTY), FAILS(change_flags, EPERM), FAILS(duplicate, EPERM), FAILS(dup, EACCES),
    ENDS(dup3, "dup3()"), FAILS(read_output, EBADF), FAILS(seek_output, EBADF), ENDS(truncate_output, "ftruncate()"),
    ENDS(overwrite_output, "pwrite64()"), ENDS(send_file, "sendfile()"), FAILS(write_program_file, EBADF),
    FAILS(read_program_file, EBADF), FAILS(write_initializer_file, EBADF), FAILS(map_initializer_file, EACCES),
    FAILS(map_code, EPERM), FAILS(make_code, EPERM), ENDS(shuffle_pages, "remap_file_pages()"),
    FAILS(unprotect, EACCES), FAILS(unprotect_starts, EACCES), FAILS(punch, EINVAL), FAILS(poison, EINVAL),
    FAILS(second_mapping, EACCES), FAILS(own_handler, EINVAL),
    {try_with_signals_blocked, "with_signals_blocked", "killed by SIGSYS", 0},
    ENDS(in_thread, "socket(), in thread"),
#if defined(__x86_64__)
    ENDS(32_bit_call, "system call 20 of another ABI"), ENDS(x32_call, "system call 1073741863 of another ABI"),
#endif
};

struct attempted {
    long result;
    int code;
};

static int attempt_task(const void *in, void *out) {
    struct attempted *attempted = out;
    errno = 0;
    attempted->result = attempts[*(const size_t *)in].run();
    attempted->code = errno;
    return 0;
}

static int open_own_file(void *unused) {
    (void)unused;
    file_of_initializer = open("/proc/version", O_RDONLY | O_CLOEXEC);
    return 0;
}

static bool is_refused(struct pool *pool, size_t i) {
    const struct attempt *a = &attempts[i];
    struct attempted attempted = {0};
    struct pool_failure why = {0};
    struct future *future;
    if (pool_submit(pool, &(struct pool_task){.fn = attempt_task, POOL_IN(&i), .out_size = sizeof attempted}, &future))
        return false;
    int error = future_get(future, &attempted, PATIENCE);
    future_failure(future, &why);
    future_free(future);
    bool refused = a->told ? error == POOL_EDIED && why.signal == SIGSYS && strstr(why.message, a->told) == why.message
                           : !error && attempted.result == -1 && attempted.code == a->code;
    if (!refused)
        fprintf(stderr, "%s: %s, \"%s\", result %ld, errno %d\n", a->name, pool_error_name(error), why.message,
                attempted.result, attempted.code);
    return refused;
}

/* In a child, with or without the rights of root. */
static int try_all(void *user) {
    struct pool_options options = sandboxed(1);
    struct pool *pool;
    int pipe_ends[2];
    char path[TEMPORARY_ROOM];
    EXPECT(pipe(pipe_ends) == 0); /* stdout, so that it is the same in all runs */
    int output = dup(STDOUT_FILENO);
    dup2(pipe_ends[1], STDOUT_FILENO);
    if (*(const uid_t *)user != getuid()) EXPECT(setresuid(*(const uid_t *)user, *(const uid_t *)user, (uid_t)-1) == 0);
    temporary_name(path);
    file_of_program = mkstemp(path);
    EXPECT(file_of_program >= 0);
    unlink(path);
    bystander = fork();
    if (bystander == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;) pause();
    }
    options.initializer = open_own_file;
    EXPECT(pool_create(&options, &pool) == 0);
    int failed = 0;
    for (size_t i = 0; i < COUNT(attempts); i++) failed += !is_refused(pool, i);
    EXPECT(failed == 0);
    EXPECT(strcmp(secret, "the program's own") == 0);
    EXPECT(lseek(file_of_program, 0, SEEK_END) == 0);
    EXPECT(waitpid(bystander, NULL, WNOHANG) == 0);
    EXPECT((fcntl(STDOUT_FILENO, F_GETFL) & O_NONBLOCK) == 0);
    pool_destroy(pool);
    kill(bystander, SIGKILL);
    EXPECT(waitpid(bystander, NULL, 0) == bystander);
    dup2(output, STDOUT_FILENO);
    return 0;
}

TEST_CASE(every_attempt_is_refused_and_named) {
    uid_t user = getuid();
    assert_child_passes(try_all, &user);
}

TEST_CASE(every_attempt_is_refused_without_the_rights_of_root) {
    uid_t nobody = 65534;
    if (getuid() != 0 || instrumented()) return; /* LeakSanitizer cannot look at a process that changes its user */
    assert_child_passes(try_all, &nobody);
}

static int read_input_task(const void *in, void *out) {
    (void)in;
    char bytes[16];
    *(long *)out = (long)read(STDIN_FILENO, bytes, sizeof bytes);
    return 0;
}

/* In a child whose standard input is a pipe with something in it. */
static int keep_input(void *unused) {
    (void)unused;
    static const char text[] = "of the program";
    char bytes[sizeof text];
    int ends[2];
    EXPECT(pipe(ends) == 0 && dup2(ends[0], STDIN_FILENO) == STDIN_FILENO);
    EXPECT(write(ends[1], text, sizeof text) == (ssize_t)sizeof text);
    struct pool_options options = sandboxed(1);
    struct pool *pool;
    struct future *future;
    long size = -1;
    EXPECT(pool_create(&options, &pool) == 0);
    EXPECT(pool_submit(pool, &(struct pool_task){.fn = read_input_task, .out_size = sizeof size}, &future) == 0);
    EXPECT(future_get(future, &size, PATIENCE) == 0);
    EXPECT(size == 0); /* /dev/null has ended */
    future_free(future);
    pool_destroy(pool);
    EXPECT(read(STDIN_FILENO, bytes, sizeof bytes) == (ssize_t)sizeof bytes && strcmp(bytes, text) == 0);
    return 0;
}

TEST_CASE(the_standard_input_of_the_program_is_not_read) {
    assert_child_passes(keep_input, NULL);
}

/* ---- any system call */

struct call {
    long number, arguments[6];
};

static int call_task(const void *in, void *out) {
    (void)out;
    const struct call *c = in;
    const long *a = c->arguments;
    syscall(c->number, a[0], a[1], a[2], a[3], a[4], a[5]);
    return 0;
}

/* A number, small ones more often, or an address. */
static long any_argument(uint64_t *seed) {
    uint64_t x = scramble(++*seed);
    switch (x % 6) {
    case 0: return 0;
    case 1: return (long)(x >> 8 & 7);
    case 2: return (long)(x >> 8 & 0xffff);
    case 3: return (long)(intptr_t)room;
    case 4: return -1;
    default: return (long)x;
    }
}

TEST_CASE(no_system_call_reaches_beyond_the_worker) {
    struct pool_options options = sandboxed(2);
    struct pool *pool = pool_from(&options);
    int status;
    uint64_t seed = (uint64_t)now_ms();
    print_message("seed %llu\n", (unsigned long long)seed);
    bystander = start_child((int (*)(void *))(void (*)(void))pause, NULL);
    for (size_t round = 0; round < scaled(10); round++)
        for (long number = 0; number < 500; number++) {
            struct call call = {.number = number};
            for (size_t i = 0; i < COUNT(call.arguments); i++) call.arguments[i] = any_argument(&seed);
            if (number == SYS_write || number == SYS_writev) call.arguments[0] = 77; /* not to the test's output */
            struct future *future;
            struct pool_task task = {.fn = call_task, POOL_IN(&call), .timeout = 200};
            assert_ok(pool_submit(pool, &task, &future));
            finish(future, NULL);
        }
    assert_squares_in_turn(pool, 10);
    assert_int_equal(waitpid(bystander, &status, WNOHANG), 0);
    assert_true(strcmp(secret, "the program's own") == 0);
    end_child(bystander, 0);
    pool_destroy(pool);
}

/* ---- before and after the initializer */

static atomic_int *may_go;

static void *wait_and_open_socket(void *unused) {
    while (!atomic_load(may_go)) sched_yield();
    socket(AF_INET, SOCK_STREAM, 0);
    return unused;
}

static int start_thread(void *unused) {
    (void)unused;
    pthread_t thread;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0); /* an initializer has all rights */
    return fd < 0 ? 1 : pthread_create(&thread, NULL, wait_and_open_socket, NULL);
}

TEST_CASE(threads_of_the_initializer_are_in_the_sandbox) {
    struct pool_options options = sandboxed(1);
    struct pool_failure why;
    struct gate *gate = shared(sizeof *gate);
    may_go = shared(sizeof *may_go);
    options.initializer = start_thread;
    struct pool *pool = pool_from(&options);
    assert_ok(finish(submit(pool, pid_task, NULL, 0, sizeof(pid_t)), NULL));
    struct future *future = block_worker(pool, gate);
    atomic_store(may_go, 1);
    assert_code(future_get(future, NULL, PATIENCE), POOL_EDIED);
    assert_ok(future_failure(future, &why));
    assert_contains(why.message, "the sandbox refused socket(), in thread");
    future_free(future);
    pool_destroy(pool);
}

static int descriptors_task(const void *in, void *out) {
    (void)in;
    int count = 0;
    char c;
    for (int fd = 3; fd < 1024; fd++) count += fd != file_of_initializer && fcntl(fd, F_GETFD) >= 0;
    if (read(0, &c, 1) != 0) return 1; /* as /dev/null */
    if (pread(file_of_initializer, &c, 1, 0) != 1 || c != 'L') return 2;
    *(int *)out = count;
    return 0;
}

TEST_CASE(a_task_finds_open_what_the_initializer_has_opened) {
    struct pool_options options = sandboxed(1);
    options.initializer = open_own_file;
    options.memory_soft_limit = SIZE_MAX / 2; /* for which one more is kept open */
    int own = open("/dev/null", O_RDWR), count = -1;
    struct pool *pool = pool_from(&options);
    assert_ok(finish(submit(pool, descriptors_task, NULL, 0, sizeof count), &count));
    assert_true(count <= 3);
    close(own);
    pool_destroy(pool);
}

/* ---- never less than promised */

TEST_CASE(backends_without_processes_have_no_sandbox) {
    struct pool *pool = NULL;
    for (int backend = POOL_THREADS; backend <= POOL_INLINE; backend++) {
        struct pool_options options = sandboxed(1);
        options.backend = backend;
        assert_code(pool_create(&options, &pool), POOL_ENOTSUP);
    }
    assert_null(pool);
}

/* As in test_filter.c. */
static int give_up_call(uint32_t call) {
    struct {
        uint16_t code;
        uint8_t if_true, if_false;
        uint32_t value;
    } instructions[] = {{0x20, 0, 0, 0}, {0x15, 0, 1, call}, {6, 0, 0, 0x50000U | EPERM}, {6, 0, 0, 0x7fff0000U}};
    struct {
        unsigned short length;
        void *instructions;
    } program = {COUNT(instructions), instructions};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) return errno;
    return prctl(PR_SET_SECCOMP, 2, &program) ? errno : 0;
}

static int make_pool_without(void *call) {
    struct pool_options options = sandboxed(1);
    struct pool *pool;
    EXPECT(give_up_call(*(const uint32_t *)call) == 0);
    EXPECT(pool_create(&options, &pool) == POOL_ENOTSUP);
    options.sandbox = POOL_SANDBOX_NONE;
    EXPECT(pool_create(&options, &pool) == 0);
    pool_destroy(pool);
    return 0;
}

TEST_CASE(a_system_that_refuses_filters_or_files_in_memory_has_no_sandbox) {
    static uint32_t calls[] = {SYS_seccomp, SYS_memfd_create};
    for (size_t i = 0; i < COUNT(calls); i++) assert_child_passes(make_pool_without, &calls[i]);
}

static int refuse_filters(void *unused) {
    (void)unused;
    return give_up_call(SYS_seccomp);
}

TEST_CASE(no_task_runs_in_a_worker_that_cannot_enter_the_sandbox) {
    struct pool_options options = sandboxed(2);
    struct pool_failure why;
    counted = shared(sizeof *counted);
    options.initializer = refuse_filters;
    struct pool *pool = pool_from(&options);
    struct future *future = submit(pool, count_task, NULL, 0, 0);
    assert_code(future_get(future, NULL, PATIENCE), POOL_ENOTSUP);
    assert_ok(future_failure(future, &why));
    assert_contains(why.message, "the workers cannot enter the sandbox: error 1");
    assert_int_equal(atomic_load(counted), 0);
    future_free(future);
    pool_destroy(pool);
}

TEST_CASE(a_small_arena_is_the_default) {
    struct pool_options options = {.workers = 1, .sandbox = POOL_SANDBOX_COMPUTE};
    if (instrumented()) return;
    struct pool *pool = pool_from(&options);
    assert_null(pool_alloc(pool, ((size_t)1 << 30) + 1));
    assert_non_null(pool_alloc(pool, (size_t)1 << 29));
    pool_destroy(pool);
}

#else

TEST_CASE(a_system_without_sandboxes_says_so) {
    struct pool_options options = test_options(1);
    struct pool *pool = NULL;
    options.sandbox = POOL_SANDBOX_COMPUTE;
    assert_code(pool_create(&options, &pool), POOL_ENOTSUP);
    assert_null(pool);
}

#endif

TEST_CASE(other_values_are_invalid) {
    struct pool_options options = test_options(1);
    struct pool *pool = NULL;
    for (int value = -1; value <= POOL_SANDBOX_COMPUTE + 1; value += POOL_SANDBOX_COMPUTE + 2) {
        options.sandbox = value;
        assert_code(pool_create(&options, &pool), POOL_EINVAL);
    }
    assert_null(pool);
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(other_values_are_invalid),
#if LINUX
        TEST(every_attempt_is_refused_and_named),
        TEST(every_attempt_is_refused_without_the_rights_of_root),
        TEST(the_standard_input_of_the_program_is_not_read),
        TEST(no_system_call_reaches_beyond_the_worker),
        TEST(threads_of_the_initializer_are_in_the_sandbox),
        TEST(a_task_finds_open_what_the_initializer_has_opened),
        TEST(backends_without_processes_have_no_sandbox),
        TEST(a_system_that_refuses_filters_or_files_in_memory_has_no_sandbox),
        TEST(no_task_runs_in_a_worker_that_cannot_enter_the_sandbox),
        TEST(a_small_arena_is_the_default),
#else
        TEST(a_system_without_sandboxes_says_so),
#endif
    };
    return run_group("sandbox", tests, COUNT(tests), argc, argv);
}
