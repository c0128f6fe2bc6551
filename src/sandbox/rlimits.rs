//! The limits that the kernel keeps for each process, whatever else there is.

use nix::libc;

use super::model::Limits;

/// A resource with its limit, soft and hard.
pub(super) type Rlimit = (libc::__rlimit_resource_t, u64, u64);

const OPEN_FILES: u64 = 16_384;

/// Whether a control group limits memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Memory {
    Grouped,
    /// Limited for each process: unlike `RLIMIT_AS`, `RLIMIT_DATA` counts what is written to and not what
    /// is only reserved, so that Node and the JVM start.
    PerProcess,
}

/// What a command's processes are started with. `processes` is the most that the user may have, where
/// that count is the command's own.
pub(super) fn of(limits: &Limits, processes: Option<u64>, memory: Memory) -> Vec<Rlimit> {
    let cpu = limits.cpu.as_secs() + u64::from(limits.cpu.subsec_nanos() > 0);
    let mut list = vec![
        (libc::RLIMIT_CORE, 0, 0),
        (libc::RLIMIT_FSIZE, limits.file_bytes, limits.file_bytes),
        (libc::RLIMIT_CPU, cpu, cpu + 1),
        (libc::RLIMIT_NOFILE, OPEN_FILES, OPEN_FILES),
        (libc::RLIMIT_MSGQUEUE, 0, 0),
    ];
    list.extend(processes.map(|most| (libc::RLIMIT_NPROC, most, most)));
    if memory == Memory::PerProcess {
        list.push((libc::RLIMIT_DATA, limits.memory_bytes, limits.memory_bytes));
    }
    list
}
