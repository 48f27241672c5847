/* What a worker in a sandbox may ask of the system; see sandbox_policy.h. */
#include "worker/sandbox_policy.h"

#include <sys/syscall.h>

#define ROW(name, rule) {SYS_##name, PP_##rule, #name}
/* Of calls that are younger than some headers of the C library. Their numbers are the same on all machines. */
#define NEW(name, number, rule) {number, PP_##rule, #name}

#if (defined(__x86_64__) || defined(__aarch64__)) && !defined(__ILP32__)
const struct pp_policy_row pp_policy[] = {
    /* Memory, threads and their sleep. */
    ROW(brk, ALLOWED), ROW(munmap, ALLOWED), ROW(mremap, ALLOWED), ROW(mincore, ALLOWED), ROW(msync, ALLOWED),
    ROW(set_robust_list, ALLOWED), ROW(rseq, ALLOWED), ROW(membarrier, ALLOWED), ROW(sched_yield, ALLOWED),
    ROW(exit, ALLOWED), ROW(exit_group, ALLOWED), ROW(set_tid_address, ALLOWED), ROW(mmap, MAPS),
    ROW(mprotect, PROTECTS), ROW(madvise, ADVISES), ROW(futex, SLEEPS), ROW(clone, THREADS), NEW(clone3, 435, NO_CALL),
    NEW(futex_waitv, 449, NO_CALL), ROW(pkey_alloc, NO_CALL), ROW(pkey_free, NO_CALL), ROW(pkey_mprotect, NO_CALL),
    /* Time, chance, and what the process is. */
    ROW(clock_gettime, ALLOWED), ROW(clock_getres, ALLOWED), ROW(clock_nanosleep, ALLOWED), ROW(gettimeofday, ALLOWED),
    ROW(nanosleep, ALLOWED), ROW(times, ALLOWED), ROW(getrandom, ALLOWED), ROW(getpid, ALLOWED), ROW(gettid, ALLOWED),
    ROW(getppid, ALLOWED), ROW(getuid, ALLOWED), ROW(geteuid, ALLOWED), ROW(getgid, ALLOWED), ROW(getegid, ALLOWED),
    ROW(getgroups, ALLOWED), ROW(getresuid, ALLOWED), ROW(getresgid, ALLOWED), ROW(getrusage, ALLOWED),
    ROW(getrlimit, ALLOWED), ROW(getcpu, ALLOWED), ROW(sysinfo, ALLOWED), ROW(uname, ALLOWED), ROW(umask, ALLOWED),
    ROW(sched_getaffinity, ALLOWED), ROW(sched_get_priority_max, ALLOWED), ROW(sched_get_priority_min, ALLOWED),
    ROW(sched_setaffinity, OWN_CPUS), ROW(prlimit64, OWN_LIMITS),
#if defined(__x86_64__)
    ROW(time, ALLOWED), ROW(getpgrp, ALLOWED),
#endif
    /* Signals, from this process to itself. Timers raise no others. */
    ROW(rt_sigprocmask, ALLOWED), ROW(rt_sigreturn, ALLOWED), ROW(rt_sigpending, ALLOWED),
    ROW(rt_sigtimedwait, ALLOWED), ROW(rt_sigsuspend, ALLOWED), ROW(sigaltstack, ALLOWED),
    ROW(restart_syscall, ALLOWED), ROW(getitimer, ALLOWED), ROW(setitimer, ALLOWED), ROW(rt_sigaction, HANDLES),
    ROW(kill, SIGNALS), ROW(tgkill, SIGNALS), ROW(tkill, SIGNALS_THREAD),
#if defined(__x86_64__)
    ROW(pause, ALLOWED), ROW(alarm, ALLOWED),
#endif
    /* What was open before: the initializer may have opened files, to be read. */
    ROW(close, ALLOWED), ROW(fstat, ALLOWED), ROW(ppoll, ALLOWED), ROW(pselect6, ALLOWED), ROW(read, READS),
    ROW(readv, READS), ROW(pread64, READS), ROW(preadv, READS), ROW(preadv2, READS), ROW(lseek, READS),
    ROW(write, WRITES), ROW(writev, WRITES), ROW(pwrite64, REWRITES), ROW(ftruncate, REWRITES), ROW(ioctl, TERMINAL),
    ROW(fcntl, FLAGS),
#if defined(__x86_64__)
    ROW(poll, ALLOWED), ROW(select, ALLOWED),
#endif
    /* Files: libraries look for them, and go on if they find none. */
    ROW(openat, NO_ENTRY), NEW(openat2, 437, NO_ENTRY), ROW(newfstatat, NO_ENTRY), ROW(statx, NO_ENTRY),
    ROW(faccessat, NO_ENTRY), NEW(faccessat2, 439, NO_ENTRY), ROW(readlinkat, NO_ENTRY), ROW(statfs, NO_ENTRY),
    ROW(fstatfs, NO_ENTRY), ROW(getcwd, NO_ENTRY), ROW(getxattr, NO_ENTRY), ROW(lgetxattr, NO_ENTRY),
    ROW(fgetxattr, NO_ENTRY), ROW(listxattr, NO_ENTRY), ROW(llistxattr, NO_ENTRY), ROW(flistxattr, NO_ENTRY),
    ROW(dup, NO_ENTRY), ROW(fsync, NO_ENTRY), ROW(fdatasync, NO_ENTRY), ROW(flock, NO_ENTRY), ROW(fadvise64, NO_ENTRY),
    ROW(readahead, NO_ENTRY),
#if defined(__x86_64__)
    ROW(open, NO_ENTRY), ROW(stat, NO_ENTRY), ROW(lstat, NO_ENTRY), ROW(access, NO_ENTRY), ROW(readlink, NO_ENTRY),
#endif
    /* Rights, places and priorities: libraries ask for them, and go on without. */
    ROW(prctl, NO_RIGHT), ROW(setrlimit, NO_RIGHT), ROW(setpriority, NO_RIGHT), ROW(getpriority, NO_RIGHT),
    ROW(getpgid, NO_RIGHT), ROW(getsid, NO_RIGHT), ROW(sched_setparam, NO_RIGHT), ROW(sched_getparam, NO_RIGHT),
    ROW(sched_setscheduler, NO_RIGHT), ROW(sched_getscheduler, NO_RIGHT), ROW(sched_rr_get_interval, NO_RIGHT),
    ROW(sched_setattr, NO_RIGHT), ROW(sched_getattr, NO_RIGHT), ROW(ioprio_set, NO_RIGHT), ROW(ioprio_get, NO_RIGHT),
    ROW(get_robust_list, NO_RIGHT), ROW(mlock, NO_RIGHT), ROW(mlock2, NO_RIGHT), ROW(munlock, NO_RIGHT),
    ROW(mlockall, NO_RIGHT), ROW(munlockall, NO_RIGHT), ROW(mbind, NO_RIGHT), ROW(set_mempolicy, NO_RIGHT),
    ROW(get_mempolicy, NO_RIGHT), ROW(move_pages, NO_RIGHT), ROW(migrate_pages, NO_RIGHT),
    NEW(set_mempolicy_home_node, 450, NO_RIGHT), ROW(capget, NO_RIGHT), ROW(personality, NO_RIGHT),
    ROW(timer_create, NO_RIGHT),
#if defined(__x86_64__)
    ROW(arch_prctl, NO_RIGHT),
#endif
    /* Forbidden: programs and processes. */
    ROW(execve, FORBIDDEN), ROW(execveat, FORBIDDEN), ROW(wait4, FORBIDDEN), ROW(waitid, FORBIDDEN),
    ROW(ptrace, FORBIDDEN), ROW(process_vm_readv, FORBIDDEN), ROW(process_vm_writev, FORBIDDEN),
    NEW(process_madvise, 440, FORBIDDEN), NEW(process_mrelease, 448, FORBIDDEN), ROW(kcmp, FORBIDDEN),
    NEW(pidfd_open, 434, FORBIDDEN), NEW(pidfd_getfd, 438, FORBIDDEN), NEW(pidfd_send_signal, 424, FORBIDDEN),
    ROW(rt_sigqueueinfo, FORBIDDEN), ROW(rt_tgsigqueueinfo, FORBIDDEN), ROW(setpgid, FORBIDDEN), ROW(setsid, FORBIDDEN),
    ROW(unshare, FORBIDDEN), ROW(setns, FORBIDDEN),
#if defined(__x86_64__)
    ROW(fork, FORBIDDEN), ROW(vfork, FORBIDDEN),
#endif
    /* Forbidden: the network, and whatever else connects processes. */
    ROW(socket, FORBIDDEN), ROW(socketpair, FORBIDDEN), ROW(connect, FORBIDDEN), ROW(bind, FORBIDDEN),
    ROW(listen, FORBIDDEN), ROW(accept, FORBIDDEN), ROW(accept4, FORBIDDEN), ROW(sendto, FORBIDDEN),
    ROW(sendmsg, FORBIDDEN), ROW(sendmmsg, FORBIDDEN), ROW(recvfrom, FORBIDDEN), ROW(recvmsg, FORBIDDEN),
    ROW(recvmmsg, FORBIDDEN), ROW(shutdown, FORBIDDEN), ROW(getsockname, FORBIDDEN), ROW(getpeername, FORBIDDEN),
    ROW(setsockopt, FORBIDDEN), ROW(getsockopt, FORBIDDEN), ROW(pipe2, FORBIDDEN), ROW(shmget, FORBIDDEN),
    ROW(shmat, FORBIDDEN), ROW(shmctl, FORBIDDEN), ROW(shmdt, FORBIDDEN), ROW(semget, FORBIDDEN), ROW(semop, FORBIDDEN),
    ROW(semtimedop, FORBIDDEN), ROW(semctl, FORBIDDEN), ROW(msgget, FORBIDDEN), ROW(msgsnd, FORBIDDEN),
    ROW(msgrcv, FORBIDDEN), ROW(msgctl, FORBIDDEN), ROW(mq_open, FORBIDDEN), ROW(mq_unlink, FORBIDDEN),
    ROW(mq_timedsend, FORBIDDEN), ROW(mq_timedreceive, FORBIDDEN), ROW(mq_notify, FORBIDDEN),
    ROW(mq_getsetattr, FORBIDDEN),
#if defined(__x86_64__)
    ROW(pipe, FORBIDDEN),
#endif
    /* Forbidden: changes of files, and of what is open. */
    ROW(truncate, FORBIDDEN), ROW(fallocate, FORBIDDEN), ROW(pwritev, FORBIDDEN), ROW(pwritev2, FORBIDDEN),
    ROW(sendfile, FORBIDDEN), ROW(splice, FORBIDDEN), ROW(tee, FORBIDDEN), ROW(vmsplice, FORBIDDEN),
    ROW(copy_file_range, FORBIDDEN), ROW(sync, FORBIDDEN), ROW(sync_file_range, FORBIDDEN), ROW(syncfs, FORBIDDEN),
    ROW(mkdirat, FORBIDDEN), ROW(mknodat, FORBIDDEN), ROW(linkat, FORBIDDEN), ROW(symlinkat, FORBIDDEN),
    ROW(unlinkat, FORBIDDEN), ROW(renameat, FORBIDDEN), ROW(renameat2, FORBIDDEN), ROW(fchmod, FORBIDDEN),
    ROW(fchmodat, FORBIDDEN), ROW(fchown, FORBIDDEN), ROW(fchownat, FORBIDDEN), ROW(utimensat, FORBIDDEN),
    ROW(setxattr, FORBIDDEN), ROW(lsetxattr, FORBIDDEN), ROW(fsetxattr, FORBIDDEN), ROW(removexattr, FORBIDDEN),
    ROW(lremovexattr, FORBIDDEN), ROW(fremovexattr, FORBIDDEN), ROW(chdir, FORBIDDEN), ROW(fchdir, FORBIDDEN),
    ROW(chroot, FORBIDDEN), ROW(getdents64, FORBIDDEN), ROW(name_to_handle_at, FORBIDDEN),
    ROW(open_by_handle_at, FORBIDDEN), ROW(dup3, FORBIDDEN), NEW(close_range, 436, FORBIDDEN),
    ROW(memfd_create, FORBIDDEN), NEW(memfd_secret, 447, FORBIDDEN),
#if defined(__x86_64__)
    ROW(creat, FORBIDDEN), ROW(mkdir, FORBIDDEN), ROW(mknod, FORBIDDEN), ROW(rmdir, FORBIDDEN), ROW(link, FORBIDDEN),
    ROW(symlink, FORBIDDEN), ROW(unlink, FORBIDDEN), ROW(rename, FORBIDDEN), ROW(chmod, FORBIDDEN),
    ROW(chown, FORBIDDEN), ROW(lchown, FORBIDDEN), ROW(utime, FORBIDDEN), ROW(utimes, FORBIDDEN),
    ROW(futimesat, FORBIDDEN), ROW(getdents, FORBIDDEN), ROW(dup2, FORBIDDEN),
#endif
    /* Forbidden: other ways into the kernel. */
    NEW(io_uring_setup, 425, FORBIDDEN), NEW(io_uring_enter, 426, FORBIDDEN), NEW(io_uring_register, 427, FORBIDDEN),
    ROW(io_setup, FORBIDDEN), ROW(io_destroy, FORBIDDEN), ROW(io_getevents, FORBIDDEN), ROW(io_pgetevents, FORBIDDEN),
    ROW(io_submit, FORBIDDEN), ROW(io_cancel, FORBIDDEN), ROW(bpf, FORBIDDEN), ROW(perf_event_open, FORBIDDEN),
    ROW(userfaultfd, FORBIDDEN), ROW(keyctl, FORBIDDEN), ROW(add_key, FORBIDDEN), ROW(request_key, FORBIDDEN),
    ROW(seccomp, FORBIDDEN), NEW(landlock_create_ruleset, 444, FORBIDDEN), NEW(landlock_add_rule, 445, FORBIDDEN),
    NEW(landlock_restrict_self, 446, FORBIDDEN), ROW(epoll_create1, FORBIDDEN), ROW(epoll_ctl, FORBIDDEN),
    ROW(epoll_pwait, FORBIDDEN), NEW(epoll_pwait2, 441, FORBIDDEN), ROW(eventfd2, FORBIDDEN), ROW(signalfd4, FORBIDDEN),
    ROW(timerfd_create, FORBIDDEN), ROW(timerfd_settime, FORBIDDEN), ROW(timerfd_gettime, FORBIDDEN),
    ROW(timer_settime, FORBIDDEN), ROW(timer_gettime, FORBIDDEN), ROW(timer_getoverrun, FORBIDDEN),
    ROW(timer_delete, FORBIDDEN), ROW(inotify_init1, FORBIDDEN), ROW(inotify_add_watch, FORBIDDEN),
    ROW(inotify_rm_watch, FORBIDDEN), ROW(fanotify_init, FORBIDDEN), ROW(fanotify_mark, FORBIDDEN),
    ROW(remap_file_pages, FORBIDDEN),
#if defined(__x86_64__)
    ROW(epoll_create, FORBIDDEN), ROW(epoll_wait, FORBIDDEN), ROW(eventfd, FORBIDDEN), ROW(signalfd, FORBIDDEN),
    ROW(inotify_init, FORBIDDEN), ROW(modify_ldt, FORBIDDEN), ROW(set_thread_area, FORBIDDEN),
    ROW(get_thread_area, FORBIDDEN),
#endif
    /* Forbidden: what is the administrator's. */
    ROW(mount, FORBIDDEN), ROW(umount2, FORBIDDEN), ROW(pivot_root, FORBIDDEN), NEW(open_tree, 428, FORBIDDEN),
    NEW(move_mount, 429, FORBIDDEN), NEW(fsopen, 430, FORBIDDEN), NEW(fsconfig, 431, FORBIDDEN),
    NEW(fsmount, 432, FORBIDDEN), NEW(fspick, 433, FORBIDDEN), NEW(mount_setattr, 442, FORBIDDEN),
    ROW(swapon, FORBIDDEN), ROW(swapoff, FORBIDDEN), ROW(quotactl, FORBIDDEN), NEW(quotactl_fd, 443, FORBIDDEN),
    ROW(reboot, FORBIDDEN), ROW(kexec_load, FORBIDDEN), ROW(kexec_file_load, FORBIDDEN), ROW(init_module, FORBIDDEN),
    ROW(finit_module, FORBIDDEN), ROW(delete_module, FORBIDDEN), ROW(setuid, FORBIDDEN), ROW(setgid, FORBIDDEN),
    ROW(setreuid, FORBIDDEN), ROW(setregid, FORBIDDEN), ROW(setresuid, FORBIDDEN), ROW(setresgid, FORBIDDEN),
    ROW(setfsuid, FORBIDDEN), ROW(setfsgid, FORBIDDEN), ROW(setgroups, FORBIDDEN), ROW(capset, FORBIDDEN),
    ROW(sethostname, FORBIDDEN), ROW(setdomainname, FORBIDDEN), ROW(settimeofday, FORBIDDEN),
    ROW(clock_settime, FORBIDDEN), ROW(clock_adjtime, FORBIDDEN), ROW(adjtimex, FORBIDDEN), ROW(acct, FORBIDDEN),
    ROW(syslog, FORBIDDEN), ROW(vhangup, FORBIDDEN),
#if defined(__x86_64__)
    ROW(iopl, FORBIDDEN), ROW(ioperm, FORBIDDEN), ROW(uselib, FORBIDDEN), ROW(ustat, FORBIDDEN), ROW(sysfs, FORBIDDEN),
#endif
};
#else
/* No filter is made for other machines, which have not all of the calls: see pp_sandbox_exists(). */
const struct pp_policy_row pp_policy[] = {ROW(exit_group, ALLOWED)};
#endif
const size_t pp_policy_rows = sizeof pp_policy / sizeof *pp_policy;
_Static_assert(sizeof pp_policy / sizeof *pp_policy <= PP_POLICY_ROWS, "there is room for all");
