//! Which user a sandbox runs as.
//!
//! As root every session gets a user id of its own, so that sessions cannot reach each other and so that
//! the kernel's count of processes per user is a count per session. As an ordinary user it is that user:
//! the namespaces then do the separating.

use std::ops::RangeInclusive;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use super::model::SandboxError;

/// Who owns a session's tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// A user of the session's own; its group has the same number.
    Reserved(u32),
    /// The user that this program runs as.
    Own,
}

impl Owner {
    pub(super) fn uid(self) -> Option<u32> {
        match self {
            Self::Reserved(uid) => Some(uid),
            Self::Own => None,
        }
    }

    pub(super) fn gid(self) -> Option<u32> {
        self.uid()
    }
}

/// A user id that no other session on this machine uses, as long as this lives.
#[derive(Debug)]
pub(super) struct Identity {
    owner: Owner,
    /// A name in the abstract socket namespace: machine-wide, and gone with the process that holds it.
    _claim: Option<UnixListener>,
}

impl Identity {
    pub(super) fn claim(range: &RangeInclusive<u32>) -> Result<Self, SandboxError> {
        if !nix::unistd::geteuid().is_root() {
            return Ok(Self { owner: Owner::Own, _claim: None });
        }
        for uid in range.clone() {
            let name = SocketAddr::from_abstract_name(format!("orchestrator-sandbox-user-{uid}"))
                .map_err(SandboxError::io("claiming a user id for a sandbox"))?;
            if let Ok(listener) = UnixListener::bind_addr(&name) {
                return Ok(Self { owner: Owner::Reserved(uid), _claim: Some(listener) });
            }
        }
        Err(SandboxError::NoFreeUser { first: *range.start(), last: *range.end() })
    }

    pub(super) fn owner(&self) -> Owner {
        self.owner
    }
}

/// Whether the process has one of the kernel's capabilities (numbers from linux/capability.h).
pub(super) fn has_capability(number: u32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap_or_default();
    u64::from_str_radix(effective.trim(), 16).is_ok_and(|bits| bits & (1 << number) != 0)
}

pub(super) const CAP_SETUID: u32 = 7;
pub(super) const CAP_SYS_ADMIN: u32 = 21;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_claims_never_get_the_same_user() {
        if !nix::unistd::geteuid().is_root() {
            let identity = Identity::claim(&(1..=1)).expect("an ordinary user needs no range");
            assert_eq!(identity.owner(), Owner::Own);
            return;
        }
        let range = 3_000_000_001..=3_000_000_002;
        let first = Identity::claim(&range).expect("one");
        let second = Identity::claim(&range).expect("two");
        assert_ne!(first.owner(), second.owner());
        assert!(matches!(Identity::claim(&range), Err(SandboxError::NoFreeUser { .. })));
        drop(first);
        assert!(Identity::claim(&range).is_ok());
    }
}
