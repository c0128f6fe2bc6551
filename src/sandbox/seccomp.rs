//! The system calls that code in a sandbox has no business with.
//!
//! Three filters, because a filter has one answer: `EPERM` for what is refused, `ENOSYS` for `clone3`
//! (whose flags lie in memory that a filter cannot read; C libraries then fall back to `clone`), and, on
//! x86-64, `ENOSYS` for the x32 numbers, which would otherwise be a way around the first filter. The
//! kernel takes the strictest answer.

use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    sock_filter,
};

/// The filters as the bytes that `bwrap --add-seccomp-fd` reads.
///
/// # Errors
/// On an architecture that seccompiler does not know.
pub(super) fn filters() -> Result<Vec<Vec<u8>>, String> {
    let mut programs =
        vec![compile(refused()?, libc::EPERM)?, compile(vec![(libc::SYS_clone3, vec![])], libc::ENOSYS)?];
    if cfg!(target_arch = "x86_64") {
        programs.push(without_x32());
    }
    Ok(programs.iter().map(|program| bytes(program)).collect())
}

fn compile(rules: Vec<(i64, Vec<SeccompRule>)>, errno: i32) -> Result<BpfProgram, String> {
    let arch = std::env::consts::ARCH.try_into().map_err(|e: seccompiler::BackendError| e.to_string())?;
    SeccompFilter::new(
        rules.into_iter().collect(),
        SeccompAction::Allow,
        SeccompAction::Errno(errno.unsigned_abs()),
        arch,
    )
    .and_then(TryInto::try_into)
    .map_err(|e| e.to_string())
}

/// `jge nr, 0x40000000 → ENOSYS`: `__X32_SYSCALL_BIT` of asm/unistd.h.
fn without_x32() -> BpfProgram {
    let errno = libc::SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs();
    let instruction = |code: u32, jt, jf, k| sock_filter { code: code as u16, jt, jf, k };
    vec![
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        instruction(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, 0, 1, 0x4000_0000),
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0, errno),
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ]
}

fn bytes(program: &[sock_filter]) -> Vec<u8> {
    program
        .iter()
        .flat_map(|i| {
            let [c0, c1] = i.code.to_ne_bytes();
            let [k0, k1, k2, k3] = i.k.to_ne_bytes();
            [c0, c1, i.jt, i.jf, k0, k1, k2, k3]
        })
        .collect()
}

fn refused() -> Result<Vec<(i64, Vec<SeccompRule>)>, String> {
    let mut rules: Vec<_> = NEVER.iter().map(|number| (*number, vec![])).collect();
    rules.push((libc::SYS_clone, new_namespaces()?));
    rules.push((libc::SYS_unshare, new_namespaces()?));
    rules.push((libc::SYS_socket, vec![other_socket_families()?]));
    rules.push((libc::SYS_ioctl, terminal_injection()?));
    Ok(rules)
}

/// One rule for each `CLONE_NEW*` flag: a call that asks for any new namespace is refused.
fn new_namespaces() -> Result<Vec<SeccompRule>, String> {
    let flags = [
        libc::CLONE_NEWNS,
        libc::CLONE_NEWCGROUP,
        libc::CLONE_NEWUTS,
        libc::CLONE_NEWIPC,
        libc::CLONE_NEWUSER,
        libc::CLONE_NEWPID,
        libc::CLONE_NEWNET,
    ];
    flags
        .iter()
        .map(|flag| {
            let bit = u64::from(flag.unsigned_abs());
            rule(&[(0, SeccompCmpOp::MaskedEq(bit), bit)])
        })
        .collect()
}

/// Unix, IPv4, IPv6 and netlink sockets only. Some others, such as `AF_VSOCK`, do not obey the network
/// namespace; others have a long list of kernel bugs.
fn other_socket_families() -> Result<SeccompRule, String> {
    let family = |family: i32| (0, SeccompCmpOp::Ne, u64::from(family.unsigned_abs()));
    rule(&[family(libc::AF_UNIX), family(libc::AF_INET), family(libc::AF_INET6), family(libc::AF_NETLINK)])
}

/// Pushing characters into a terminal's input (CVE-2017-5226, CVE-2023-28100).
fn terminal_injection() -> Result<Vec<SeccompRule>, String> {
    const TIOCLINUX: u64 = 0x541c;
    [{ libc::TIOCSTI }, TIOCLINUX].iter().map(|request| rule(&[(1, SeccompCmpOp::Eq, *request)])).collect()
}

/// A rule that matches when all conditions hold. Arguments are compared as 32 bits: the kernel ignores the
/// upper half of each one that is used here.
fn rule(conditions: &[(u8, SeccompCmpOp, u64)]) -> Result<SeccompRule, String> {
    let conditions = conditions
        .iter()
        .map(|(argument, operator, value)| {
            SeccompCondition::new(*argument, SeccompCmpArgLen::Dword, operator.clone(), *value)
        })
        .collect::<Result<_, _>>()
        .map_err(|e| e.to_string())?;
    SeccompRule::new(conditions).map_err(|e| e.to_string())
}

/// Refused whatever their arguments.
const NEVER: &[i64] = &[
    // The kernel's keyrings are not divided by namespaces.
    libc::SYS_add_key,
    libc::SYS_keyctl,
    libc::SYS_request_key,
    // Other processes' memory and descriptors.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    // Large attack surfaces of the kernel.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_fanotify_init,
    // Mounts and namespaces.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_setns,
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    // The machine itself.
    libc::SYS_kexec_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_syslog,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_vhangup,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filters_compile_for_this_machine() {
        let filters = filters().expect("compiled");
        assert!(filters.iter().all(|filter| !filter.is_empty() && filter.len() % 8 == 0));
        assert_eq!(filters.len(), if cfg!(target_arch = "x86_64") { 3 } else { 2 });
    }
}
