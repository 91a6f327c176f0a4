// Which system calls code in a sandbox may make: a list of what programs need, and nothing else. It is stricter than the
// profile that Docker brings where that lets through what no function needs and the kernel has often had to repair:
// io_uring; ptrace and reading another process's memory, with which code could take over a launcher beside it; the 32-bit
// and x32 doors to the same kernel; and sockets of every family but those below. The last matters most: vsock knows no
// network namespaces, so that on a virtual machine it would reach the host of that machine past every other wall.
//
// Rules for one architecture also compile faster than for three: nine milliseconds of a start, with runc alone.

const ALLOWED = [
  // files
  `access chdir chmod chown close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2 fadvise64
   fallocate fchdir fchmod fchmodat fchmodat2 fchown fchownat fcntl fdatasync fgetxattr flistxattr flock fremovexattr
   fsetxattr fstat fstatfs fsync ftruncate futimesat getcwd getdents getdents64 getxattr ioctl lchown lgetxattr link
   linkat listxattr llistxattr lremovexattr lseek lsetxattr lstat mkdir mkdirat mknod mknodat newfstatat open openat
   openat2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv removexattr rename
   renameat renameat2 rmdir sendfile setxattr splice stat statfs statx symlink symlinkat sync_file_range syncfs tee
   truncate umask unlink unlinkat utime utimensat utimes vmsplice write writev`,
  // waiting for them
  `epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2
   inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents io_setup
   io_submit pipe pipe2 poll ppoll pselect6 select signalfd signalfd4 timerfd_create timerfd_gettime timerfd_settime`,
  // memory
  `brk cachestat madvise map_shadow_stack membarrier memfd_create mincore mlock mlock2 mlockall mmap mprotect mremap mseal
   msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect shmat shmctl shmdt shmget`,
  // processes and threads; new namespaces are not among what clone may ask for, below
  `arch_prctl capget capset execve execveat exit exit_group fork futex futex_requeue futex_wait futex_waitv futex_wake
   get_robust_list get_thread_area getcpu getegid geteuid getgid getgroups getpgid getpgrp getpid getppid getpriority
   getresgid getresuid getrlimit getrusage getsid gettid getuid ioprio_get landlock_add_rule landlock_create_ruleset
   landlock_restrict_self pidfd_open pidfd_send_signal prctl prlimit64 restart_syscall rseq sched_get_priority_max
   sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval
   sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp set_robust_list set_thread_area
   set_tid_address setfsgid setfsuid setgid setgroups setpgid setpriority setregid setresgid setresuid setreuid setrlimit
   setsid setuid vfork wait4 waitid`,
  // signals and time
  `alarm clock_getres clock_gettime clock_nanosleep getitimer gettimeofday kill nanosleep pause rt_sigaction rt_sigpending
   rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo setitimer sigaltstack
   tgkill time timer_create timer_delete timer_getoverrun timer_gettime timer_settime times tkill`,
  // sockets and messages between processes
  `accept accept4 bind connect getpeername getsockname getsockopt listen mq_getsetattr mq_notify mq_open mq_timedreceive
   mq_timedsend mq_unlink msgctl msgget msgrcv msgsnd recvfrom recvmmsg recvmsg semctl semget semop semtimedop sendmmsg
   sendmsg sendto setsockopt shutdown socketpair`,
  // the machine
  "getrandom sysinfo uname",
].flatMap((names) => names.split(/\s+/));

/** AF_UNIX, AF_INET, AF_INET6, AF_NETLINK. */
const SOCKET_FAMILIES = [1, 2, 10, 16];
/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET. */
const CLONE_NAMESPACES = 0x7e020000;
/** Linux as usual, with UNAME26 or with no randomised addresses, and the question which it is. */
const PERSONALITIES = [0x0, 0x8, 0x20000, 0x20008, 0xffffffff];
const ENOSYS = 38;

/** As Docker's API takes it, for its option `seccomp=`. */
export const SECCOMP_PROFILE = profile(ALLOWED);

/**
 * For what runs as a user of its image's choosing, who is a user of this machine too, root for one: inotify instances are
 * counted per user, and a hundred or so are all there are.
 */
export const SECCOMP_PROFILE_FOREIGN_USER = profile(ALLOWED.filter((name) => !name.startsWith("inotify_init")));

function profile(allowed: readonly string[]): string {
  return JSON.stringify({
    defaultAction: "SCMP_ACT_ERRNO",
    archMap: ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"].map((architecture) => ({ architecture, subArchitectures: [] })),
    syscalls: [
      allow(allowed),
      ...SOCKET_FAMILIES.map((family) => allow(["socket"], equal(family))),
      ...PERSONALITIES.map((personality) => allow(["personality"], equal(personality))),
      allow(["clone"], { index: 0, value: CLONE_NAMESPACES, valueTwo: 0, op: "SCMP_CMP_MASKED_EQ" }),
      // Its flags are in memory, where no filter sees them. A C library that hears this takes clone.
      { names: ["clone3"], action: "SCMP_ACT_ERRNO", errnoRet: ENOSYS },
    ],
  });
}

function equal(value: number): object {
  return { index: 0, value, op: "SCMP_CMP_EQ" };
}

function allow(names: readonly string[], args?: object): object {
  return { names, action: "SCMP_ACT_ALLOW", ...(args && { args: [args] }) };
}
