//! seccomp: the system calls that are left.

use crate::{Folder, Needs, Network};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch, apply_filter,
};
use std::collections::BTreeMap;
use std::error::Error;

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// What every confined process does, by kind. What is in none of the lists fails with EPERM.
const EVERYBODY: &[i64] = &[
    // Bytes through descriptors it has.
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_preadv2,
    libc::SYS_lseek,
    libc::SYS_fstat,
    libc::SYS_fadvise64,
    libc::SYS_sendfile,
    libc::SYS_close,
    libc::SYS_close_range,
    libc::SYS_fcntl,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_pipe2,
    libc::SYS_eventfd2,
    // Sockets it has, and pairs: the conversations of the suite.
    libc::SYS_socketpair,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    libc::SYS_shutdown,
    // Waiting.
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_ppoll,
    libc::SYS_futex,
    libc::SYS_nanosleep,
    libc::SYS_clock_nanosleep,
    libc::SYS_sched_yield,
    libc::SYS_restart_syscall,
    // Memory.
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_mlockall,
    // Time, chance, who it is.
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_gettimeofday,
    libc::SYS_getrandom,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_gettid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_uname,
    libc::SYS_sysinfo,
    libc::SYS_sched_getaffinity,
    libc::SYS_getrusage,
    // Signals, threads, the end.
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_tgkill,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_membarrier,
    libc::SYS_prctl,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// Who connects to others. Neither listen nor accept.
/// Names of hosts are asked for two at a time by glibc (sendmmsg).
const CONNECTING: &[i64] = &[libc::SYS_socket, libc::SYS_connect, libc::SYS_bind, libc::SYS_sendmmsg];

/// Who makes files. Where, Landlock says; what may be learnt of others (fstatat) is that they are there.
const FILING: &[i64] = &[
    libc::SYS_openat,
    libc::SYS_renameat2,
    libc::SYS_unlinkat,
    libc::SYS_flock,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_sync_file_range,
    libc::SYS_pwrite64,
    libc::SYS_ftruncate,
    libc::SYS_fchmod,
    libc::SYS_fchown,
    libc::SYS_fstatfs,
    libc::SYS_newfstatat,
    libc::SYS_renameat,
];

/// The older forms that only this architecture has, of [`FILING`].
#[cfg(target_arch = "x86_64")]
const FILING_OLDER: &[i64] = &[libc::SYS_rename, libc::SYS_unlink];
#[cfg(not(target_arch = "x86_64"))]
const FILING_OLDER: &[i64] = &[];

/// Who reads files by their names. Which, Landlock says.
const READING: &[i64] = &[
    libc::SYS_openat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_readlinkat,
    libc::SYS_getdents64,
    libc::SYS_fstatfs,
    libc::SYS_flock,
];

/// The older forms that only this architecture has, of [`READING`].
#[cfg(target_arch = "x86_64")]
const READING_OLDER: &[i64] = &[libc::SYS_open, libc::SYS_stat, libc::SYS_lstat, libc::SYS_access, libc::SYS_readlink];
#[cfg(not(target_arch = "x86_64"))]
const READING_OLDER: &[i64] = &[];

/// The older forms that only this architecture has.
#[cfg(target_arch = "x86_64")]
const OLDER: &[i64] = &[libc::SYS_poll, libc::SYS_epoll_wait, libc::SYS_dup2, libc::SYS_time, libc::SYS_arch_prctl];
#[cfg(not(target_arch = "x86_64"))]
const OLDER: &[i64] = &[];

/// Only an intruder makes these: the process ends.
const DEADLY: &[i64] = &[
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_kexec_load,
    libc::SYS_bpf,
    libc::SYS_mount,
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
    libc::SYS_perf_event_open,
];

/// Restricts this thread and those it makes.
pub fn filter(needs: &Needs<'_>) -> Result<(), Box<dyn Error>> {
    install(DEADLY.iter().map(|call| (*call, Vec::new())).collect(), SeccompAction::Allow, SeccompAction::KillProcess)?;
    // glibc goes on to clone, whose flags can be looked at, only when clone3 seems not to exist.
    let absent = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    install(Rules::from([(libc::SYS_clone3, Vec::new())]), SeccompAction::Allow, absent)?;
    // Last, for after it there is no seccomp call any more. Of what the three say, the strictest holds.
    install(allowed(needs)?, SeccompAction::Errno(libc::EPERM.unsigned_abs()), SeccompAction::Allow)
}

fn install(rules: Rules, mismatch: SeccompAction, matching: SeccompAction) -> Result<(), Box<dyn Error>> {
    let architecture = TargetArch::try_from(std::env::consts::ARCH)?;
    let program: BpfProgram = SeccompFilter::new(rules, mismatch, matching, architecture)?.try_into()?;
    apply_filter(&program)?;
    Ok(())
}

fn allowed(needs: &Needs<'_>) -> Result<Rules, Box<dyn Error>> {
    let reading = needs.folders.iter().any(|(_, folder)| *folder == Folder::Read);
    let filing = needs.folders.iter().any(|(_, folder)| *folder != Folder::Read);
    let lists = [
        (needs.network == Network::Out, CONNECTING),
        (filing, FILING),
        (filing, FILING_OLDER),
        (reading, READING),
        (reading, READING_OLDER),
    ];
    let more = lists.into_iter().filter(|(wanted, _)| *wanted).flat_map(|(_, calls)| calls);
    let mut rules: Rules = EVERYBODY.iter().chain(OLDER).chain(more).map(|call| (*call, Vec::new())).collect();
    let when = |argument, operator, value| {
        SeccompCondition::new(argument, SeccompCmpArgLen::Qword, operator, value).and_then(|condition| SeccompRule::new(vec![condition]))
    };
    let number = |value: libc::c_int| u64::try_from(value);
    // The filter before this one has its say about it.
    rules.insert(libc::SYS_clone3, Vec::new());
    // Threads, no processes.
    let thread = number(libc::CLONE_THREAD)?;
    rules.insert(libc::SYS_clone, vec![when(0, SeccompCmpOp::MaskedEq(thread), thread)?]);
    // Non-blocking and close-on-exec, as std sets them.
    rules.insert(libc::SYS_ioctl, vec![when(1, SeccompCmpOp::Eq, libc::FIONBIO)?, when(1, SeccompCmpOp::Eq, libc::FIOCLEX)?]);
    // The state of an open file, not of a path.
    let empty = number(libc::AT_EMPTY_PATH)?;
    if !reading {
        rules.insert(libc::SYS_statx, vec![when(2, SeccompCmpOp::MaskedEq(empty), empty)?]);
    }
    if !filing && !reading {
        rules.insert(libc::SYS_newfstatat, vec![when(3, SeccompCmpOp::MaskedEq(empty), empty)?]);
    }
    // Its own limits.
    rules.insert(libc::SYS_prlimit64, vec![when(0, SeccompCmpOp::Eq, 0)?]);
    Ok(rules)
}
