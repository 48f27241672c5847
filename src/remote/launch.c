#include "remote/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <stdnoreturn.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/sys.h"
#include "parpool.h"
#include "worker/child.h"

#define LAST_SIGNAL 64 /* there is none of a higher number */
#define COMMAND_MOST ((size_t)1 << 20) /* characters of a launcher's command line */

/* ssh: nothing may ask, forward or escape; the link is looked after by both sides themselves, and by ssh if it breaks
 * without a word. All else is for the user's ssh_config. */
#define BY_SSH                                                                                                       \
    "exec ssh -T -oBatchMode=yes -oConnectTimeout=20 -oServerAliveInterval=2 -oServerAliveCountMax=3 "             \
    "-oControlMaster=no -oControlPath=none -oClearAllForwardings=yes -oEscapeChar=none -oLogLevel=ERROR %h %c"
/* srun: -u, else bytes behind the last newline are kept back; --overlap, else the steps of one allocation queue. */
#define BY_SRUN "exec srun -Q --overlap -u -N1 -n1 -c%n --mem=0 --mpi=none -K0 -w %h sh -c %c"
#define BY_SRUN_THAT_BINDS                                                                                           \
    "exec srun -Q --overlap -u -N1 -n1 -c%n --cpu-bind=none --mem=0 --mpi=none -K0 -w %h sh -c %c"

/* ---- the program */

static struct {
    char **argv;
    int argc;
    size_t size; /* of the memory of argv */
    bool serves;
} program;

/* Memory of its own: what getopt() puts in another order, or strtok() cuts, is for later nodes as for the first. It
 * stays to the end, so it is no block of the heap, which tools that look for leaks would report. */
bool pp_program_note(int argc, char **argv) {
    int count = argv ? argc : 0;
    size_t size = ((size_t)count + 1) * sizeof *argv;
    for (int i = 0; i < count; i++) size += strlen(argv[i]) + 1;
    char **copy = pp_map_private(size);
    if (!copy) return false;
    char *text = (char *)(copy + count + 1);
    for (int i = 0; i < count; i++) {
        copy[i] = strcpy(text, argv[i]);
        text += strlen(text) + 1;
    }
    pp_unmap(program.argv, program.size);
    program.argv = copy;
    program.argc = count;
    program.size = size;
    program.serves = true;
    return true;
}

bool pp_program_serves(void) {
    return program.serves;
}

/* The path of the program's file. */
static bool find_program(char *path, size_t room) {
    ssize_t size = readlink("/proc/self/exe", path, room - 1);
    if (size > 0 && (size_t)size < room - 1) {
        path[size] = 0;
        static const char gone[] = " (deleted)";
        size_t end = sizeof gone - 1;
        return (size_t)size < end || strcmp(path + size - end, gone) != 0;
    }
    char *real = program.argc > 0 && strchr(program.argv[0], '/') ? realpath(program.argv[0], NULL) : NULL;
    bool fits = real && strlen(real) < room;
    if (fits) memcpy(path, real, strlen(real) + 1);
    free(real);
    return fits;
}

/* ---- text for shells */

struct text {
    char *chars;
    size_t size;
    bool full; /* it has no room left; what it holds is of no use */
};

static void put(struct text *t, const char *chars, size_t size) {
    if (size >= COMMAND_MOST - t->size) {
        t->full = true;
        return;
    }
    memcpy(t->chars + t->size, chars, size);
    t->size += size;
    t->chars[t->size] = 0;
}

static void put_text(struct text *t, const char *chars) {
    put(t, chars, strlen(chars));
}

static void put_number(struct text *t, size_t number) {
    char digits[24];
    put(t, digits, (size_t)snprintf(digits, sizeof digits, "%zu", number));
}

/* As one word of a POSIX shell. A word without special characters stays as it is, so that it survives a second shell,
 * too. */
static void put_word(struct text *t, const char *word) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./=:,+@%-";
    if (*word && word[strspn(word, plain)] == 0) {
        put_text(t, word);
        return;
    }
    put_text(t, "'");
    for (; *word; word++) {
        if (*word == '\'') put_text(t, "'\\''");
        else put(t, word, 1);
    }
    put_text(t, "'");
}

static bool make_text(struct text *t) {
    *t = (struct text){.chars = pp_zalloc(1, COMMAND_MOST)};
    return t->chars != NULL;
}

/* ---- the node's command */

/* The variables of the node, as words NAME=value. Returns false if a name is none. */
static bool put_variables(struct text *t, const char *env) {
    char entry[4096];
    while (env && *(env += strspn(env, ", "))) {
        size_t size = strcspn(env, ","), name = strcspn(env, "=,");
        bool fits = size < sizeof entry && name > 0 && !(env[0] >= '0' && env[0] <= '9');
        for (size_t i = 0; i < name && fits; i++)
            fits = env[i] == '_' || (env[i] >= '0' && env[i] <= '9') || (env[i] >= 'a' && env[i] <= 'z') ||
                   (env[i] >= 'A' && env[i] <= 'Z');
        if (!fits) return false;
        memcpy(entry, env, size);
        entry[size] = 0;
        const char *value = name == size ? getenv(entry) : NULL;
        put(t, entry, name);
        put_text(t, "=");
        put_word(t, value ? value : name == size ? "" : entry + name + 1);
        put_text(t, " ");
        env += size;
    }
    return true;
}

static void put_arguments(struct text *t) {
    for (int i = 1; i < program.argc; i++) {
        put_text(t, " ");
        put_word(t, program.argv[i]);
    }
}

/* Writes the program to a file that has no name any more when its first byte comes: so nothing is left behind, however
 * it ends. The file must not be open for writing when it is started. A directory is tried by a small program. What
 * fails is said on the standard output, where the head reads; a disk that is full (74) may have room later. */
static void put_shipped(struct text *t, size_t size) {
    put_text(t, "for d in \"${TMPDIR:-/tmp}\" \"$XDG_RUNTIME_DIR\" \"$HOME/.cache\" /dev/shm; do "
                "[ -w \"$d\" ] || continue; t=$(mktemp \"$d/pp.XXXXXX\" 2>&1) || { e=$t t=; continue; }; "
                "e=$(echo '#!/bin/sh' | head -n 1 2>&1 >\"$t\") && chmod 700 \"$t\" && \"$t\" 2>/dev/null && break; "
                "rm -f \"$t\"; t=; done; "
                "[ \"$t\" ] || { echo \"parpool: no directory takes a program here: $e\"; "
                "[ \"$e\" ] && exit 74; exit 126; }; "
                "exec 8>\"$t\" 9<\"$t\"; rm -f \"$t\"; e=$(head -c ");
    put_number(t, size);
    put_text(t, " 2>&1 >&8) || { echo \"parpool: no room for the program in $d: $e\"; exit 74; }; exec 8>&-; ");
}

/* A script that starts the node in this process's working directory, if it is there. ship: bytes of the program; 0: it
 * is there already. */
static bool put_script(struct text *t, const char *env, const char *path, size_t ship) {
    char directory[PATH_MAX];
    if (getcwd(directory, sizeof directory)) {
        put_text(t, "cd ");
        put_word(t, directory);
        put_text(t, " 2>/dev/null || echo \"parpool: no directory \"");
        put_word(t, directory);
        put_text(t, "\" here, running in $PWD\" >&2; ");
    }
    if (ship) put_shipped(t, ship);
    bool good = put_variables(t, env);
    put_text(t, PP_NODE_VARIABLE "=" PP_NODE_WORDS " exec ");
    put_word(t, ship ? "/proc/self/fd/9" : path);
    put_arguments(t);
    return good;
}

/* The same as words for launchers that start a program and not a shell. */
static bool put_words(struct text *t, const char *env, const char *path) {
    put_text(t, "env ");
    bool good = put_variables(t, env);
    put_text(t, PP_NODE_VARIABLE "=" PP_NODE_WORDS " ");
    put_word(t, path);
    put_arguments(t);
    return good;
}

/* ---- the launcher's command */

/* Whether %c at the end of this text is to be one word, a script: after -c, and where ssh gives it to a shell. */
static bool takes_script(const struct text *t) {
    const char *begin = t->chars, *end = t->chars + t->size;
    while (end > begin && end[-1] == ' ') end--;
    if (end - begin >= 3 && strncmp(end - 3, " -c", 3) == 0) return true;
    begin += strspn(begin, " ");
    if (strncmp(begin, "exec ", 5) == 0) begin += 5 + strspn(begin + 5, " ");
    size_t size = strcspn(begin, " ");
    return size >= 3 && strncmp(begin + size - 3, "ssh", 3) == 0;
}

static bool put_command(struct text *t, const struct pp_launch_setup *setup, const char *path, size_t ship) {
    if (!ship && !takes_script(t)) return put_words(t, setup->env, path);
    struct text script;
    if (!make_text(&script)) return false;
    bool is_word = takes_script(t), good = put_script(&script, setup->env, path, ship) && !script.full;
    if (!is_word) put_text(t, "sh -c ");
    put_word(t, script.chars);
    pp_release(script.chars);
    return good;
}

static const char *template_for(const struct pp_launch_setup *setup, const struct pp_host_entry *host) {
    if (setup->launcher && *setup->launcher) return setup->launcher;
    if (!host->slurm) return BY_SSH;
    return getenv("SLURM_CPU_BIND") ? BY_SRUN_THAT_BINDS : BY_SRUN;
}

/* Returns the command, to be released; NULL: it cannot be made. */
static char *make_command(const struct pp_launch_setup *setup, const struct pp_host_entry *host, const char *path,
                          size_t ship) {
    struct text t;
    if (!make_text(&t)) return NULL;
    bool good = true;
    for (const char *at = template_for(setup, host); good && *at; at++) {
        if (*at != '%') put(&t, at, 1);
        else if (*++at == 'h') put_word(&t, host->name);
        else if (*at == 'n') put_number(&t, host->cpus > 0 ? (size_t)host->cpus : 1);
        else if (*at == 'c') good = put_command(&t, setup, path, ship);
        else if (*at == '%') put_text(&t, "%");
        else good = false;
    }
    if (good && !t.full) return t.chars;
    pp_release(t.chars);
    return NULL;
}

/* ---- processes */

extern char **environ;

/* What is started: a command of the shell, or the program itself with an environment of its own. */
struct start {
    const char *command; /* NULL: the program */
    const char *path;
    char **environment;
    pid_t parent;
};

/* That of this process, behind PARPOOL_NODE and what `env` sets: the first of a name counts. To be released as one
 * block. */
static char **make_environment(const char *env) {
    static char node[] = PP_NODE_VARIABLE "=" PP_NODE_WORDS;
    size_t count = 0, size = env ? strlen(env) + 1 : 1, entries = 2;
    while (environ && environ[count]) count++;
    for (size_t i = 0; i + 1 < size; i++) entries += env[i] == ',';
    char **made = pp_zalloc(1, (count + entries + 1) * sizeof *made + size);
    if (!made) return NULL;
    char *text = (char *)(made + count + entries + 1), *state = NULL;
    if (env) memcpy(text, env, size);
    size_t filled = 0;
    made[filled++] = node;
    for (char *entry = strtok_r(text, ",", &state); entry; entry = strtok_r(NULL, ",", &state))
        if (strchr(entry, '=')) made[filled++] = entry + strspn(entry, " ");
    if (count) memcpy(made + filled, environ, count * sizeof *made);
    return made;
}

/* So a launcher can ask nobody for a password: it would wait for an answer, as it is in the background. */
static void give_up_terminal(void) {
#ifdef TIOCNOTTY
    int terminal = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (terminal < 0) return;
    ioctl(terminal, TIOCNOTTY);
    close(terminal);
#endif
}

static noreturn void be_launcher(const struct start *what, const int to[2], const int from[2]) {
    setpgid(0, 0);
    give_up_terminal();
    pp_child_end_with_parent();
    if (getppid() != what->parent) _exit(1);
    for (int s = 1; s <= LAST_SIGNAL; s++) signal(s, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (dup2(to[0], 0) != 0 || dup2(from[1], 1) != 1) _exit(1);
    for (int fd = 0; fd < 2; fd++) fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK); /* as any program expects */
    if (what->command) {
        execl("/bin/sh", "sh", "-c", what->command, (char *)NULL);
        _exit(127);
    }
    char *bare[] = {(char *)(uintptr_t)what->path, NULL};
    execve(what->path, program.argc > 0 ? program.argv : bare, what->environment);
    _exit(127);
}

static int start(const struct start *what, struct pp_launch *launch) {
    int to[2] = {-1, -1}, from[2] = {-1, -1};
    pid_t pid = -1;
    if (pp_pipe(to) == 0 && pp_pipe(from) == 0) pid = pp_fork();
    if (pid == 0) be_launcher(what, to, from);
    pp_close(&to[0]);
    pp_close(&from[1]);
    if (pid < 0) {
        pp_close(&to[1]);
        pp_close(&from[0]);
        return POOL_EAGAIN;
    }
    setpgid(pid, pid); /* whichever of the two comes first */
    launch->pid = pid;
    launch->in = to[1];
    launch->out = from[0];
    return 0;
}

/* Opens the program's file, to send it. */
static bool open_program(struct pp_launch *launch) {
    struct stat file;
    launch->program = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (launch->program < 0 || fstat(launch->program, &file) != 0 || file.st_size <= 0) return false;
    launch->size = (size_t)file.st_size;
    return true;
}

static int refuse(struct pp_launch *launch, int error, char *why, size_t room, const char *text) {
    pp_launch_close(launch);
    snprintf(why, room, "%s", text);
    return error;
}

int pp_launch_start(const struct pp_launch_setup *setup, const struct pp_host_entry *host, struct pp_launch *launch,
                    char *why, size_t room) {
    char path[PATH_MAX];
    *launch = (struct pp_launch){.in = -1, .out = -1, .program = -1};
    if (!find_program(path, sizeof path))
        return refuse(launch, POOL_EINVAL, why, room, "the program's own file is not known, or was deleted");
    bool ships = setup->ship && !host->local;
    if (ships && !open_program(launch))
        return refuse(launch, POOL_EINVAL, why, room, "the program's own file cannot be read, so it cannot be sent");
    char *command = host->local ? NULL : make_command(setup, host, path, launch->size);
    if (!host->local && !command)
        return refuse(launch, POOL_EINVAL, why, room, "the launcher's command has an unknown %, or host_env a name "
                                                      "that is none, or it is too long");
    struct start what = {.command = command, .path = path,
                         .environment = make_environment(setup->env), .parent = getpid()};
    int error = what.environment ? start(&what, launch) : POOL_ENOMEM;
    pp_release(what.environment);
    pp_release(command);
    return error ? refuse(launch, error, why, room, "no process or descriptor for the launcher") : 0;
}

bool pp_launch_ship(struct pp_launch *launch) {
    char piece[65536];
    for (;;) {
        ssize_t got = pread(launch->program, piece, sizeof piece, (off_t)launch->sent);
        if (got < 0) return false;
        if (got == 0 || launch->sent >= launch->size) {
            pp_close(&launch->program);
            return launch->sent >= launch->size;
        }
        size_t left = launch->size - launch->sent;
        ssize_t written = pp_write(launch->in, piece, (size_t)got < left ? (size_t)got : left);
        if (written < 0) return errno == EAGAIN;
        launch->sent += (size_t)written;
    }
}

bool pp_launch_has_ended(struct pp_launch *launch, char *how, size_t room) {
    if (launch->pid == 0 || !pp_has_ended(launch->pid)) return false;
    int status = 0;
    pp_wait_child(launch->pid, &status);
    launch->pid = 0;
    if (WIFSIGNALED(status)) snprintf(how, room, "was killed by signal %d", WTERMSIG(status));
    else snprintf(how, room, "ended with %d", WEXITSTATUS(status));
    return true;
}

void pp_launch_signal(const struct pp_launch *launch, int signal) {
    if (launch->pid > 0) kill(-launch->pid, signal);
}

void pp_launch_close(struct pp_launch *launch) {
    pp_close(&launch->in);
    pp_close(&launch->out);
    pp_close(&launch->program);
}
