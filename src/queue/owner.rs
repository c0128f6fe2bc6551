//! Who holds a lease: a process, named so that another one on the same machine can see whether it lives.
//!
//! A process that was killed leaves its leases behind. Waiting until they run out is right where nobody
//! can know; on the same machine the kernel knows.

use std::fs;
use std::io;

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;

use crate::telemetry::clock;

/// The name of this process in leases: where it runs, which process it is, and a part of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    place: String,
    text: String,
}

impl Owner {
    pub fn of_this_process() -> Self {
        // Where the kernel does not tell, nobody is ever taken for dead: the lease's end decides.
        let unknown = || format!("unknown-{}", clock::new_id());
        let place = place().unwrap_or_else(|_| unknown());
        let started = stat(std::process::id()).map_or(0, |stat| stat.started);
        let text = format!("{place}/{}/{started}/{}", std::process::id(), clock::new_id());
        Self { place, text }
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether another owner was a process of this machine that has ended. `false` wherever that cannot be
    /// known for sure.
    pub fn knows_dead(&self, other: &str) -> bool {
        let Some(rest) = other.strip_prefix(&self.place).and_then(|rest| rest.strip_prefix('/')) else {
            return false;
        };
        let mut parts = rest.split('/');
        let number = |part: Option<&str>| part.and_then(|part| part.parse::<u64>().ok());
        let (Some(pid), Some(started)) = (number(parts.next()), number(parts.next())) else { return false };
        let Ok(pid) = u32::try_from(pid) else { return false };
        match stat(pid) {
            // The number was given to another process since, or only the entry is left.
            Ok(stat) => stat.started != started || matches!(stat.state, b'Z' | b'X'),
            // `/proc` may hide what belongs to others; a signal is refused then, which tells that it lives.
            Err(_) => i32::try_from(pid).is_ok_and(|pid| kill(Pid::from_raw(pid), None) == Err(Errno::ESRCH)),
        }
    }
}

/// This start of this machine, and the process numbers that count here: those of containers are their own.
fn place() -> io::Result<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let numbers = fs::read_link("/proc/self/ns/pid")?;
    Ok(format!("{}/{}", boot.trim(), numbers.display()))
}

struct Stat {
    state: u8,
    /// Clock ticks since the machine started.
    started: u64,
}

/// Source: proc_pid_stat(5): the command in parentheses may hold anything, so fields are counted behind it.
fn stat(pid: u32) -> io::Result<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields = text.rsplit_once(')').map_or("", |(_, fields)| fields);
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let state = fields.first().and_then(|state| state.bytes().next());
    let started = fields.get(19).and_then(|ticks| ticks.parse().ok());
    state
        .zip(started)
        .map(|(state, started)| Stat { state, started })
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    fn owner_of(us: &Owner, pid: u32, started: u64) -> String {
        format!("{}/{pid}/{started}/another", us.place)
    }

    #[test]
    fn a_process_that_ended_is_known_dead_and_one_that_lives_is_not() {
        let us = Owner::of_this_process();
        let mut child = Command::new("sleep").arg("600").stdout(Stdio::null()).spawn().expect("a process");
        let started = stat(child.id()).expect("its entry").started;
        let theirs = owner_of(&us, child.id(), started);
        assert!(!us.knows_dead(&theirs), "it lives");
        child.kill().expect("killed");
        while stat(child.id()).is_ok_and(|stat| stat.state != b'Z') {
            std::thread::yield_now();
        }
        assert!(us.knows_dead(&theirs), "only its entry is left");
        child.wait().expect("collected");
        assert!(us.knows_dead(&theirs), "nothing is left");
    }

    #[test]
    fn a_number_that_was_given_away_again_is_another_process() {
        let us = Owner::of_this_process();
        let ours = stat(std::process::id()).expect("our entry").started;
        assert!(!us.knows_dead(&owner_of(&us, std::process::id(), ours)));
        assert!(us.knows_dead(&owner_of(&us, std::process::id(), ours - 1)));
    }

    #[test]
    fn nothing_is_known_of_other_machines_containers_and_older_forms() {
        let us = Owner::of_this_process();
        let (boot, _) = us.place.split_once('/').expect("two parts");
        for other in [
            "another-machine/pid:[1]/1/1/x".to_owned(),
            format!("{boot}/pid:[1]/4194304/1/x"),
            format!("{}x/4194304/1/x", us.place),
            format!("{}/many/1/x", us.place),
            format!("{}/4194304", us.place),
            "17/01a1fc75-c365-7747-8a3c-de1f56bab2af".to_owned(),
            String::new(),
        ] {
            assert!(!us.knows_dead(&other), "{other}");
        }
        assert!(us.knows_dead(&format!("{}/4194304/1/x", us.place)), "the largest number is one above all");
    }
}
