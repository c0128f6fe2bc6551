//! System V shared memory, message queues and semaphores: nobody's files, so they outlive whoever made them.
//! Commands that share a pod share its IPC namespace, so what one leaves there is removed before the next.

use std::fs;
use std::io;

use nix::errno::Errno;
use nix::libc;

type Remove = fn(i32) -> i32;

/// Each with the kernel's list of what there is in this namespace (proc_sysvipc(5)).
const KINDS: [(&str, Remove); 3] = [
    ("/proc/sysvipc/shm", remove_memory),
    ("/proc/sysvipc/msg", remove_queue),
    ("/proc/sysvipc/sem", remove_semaphores),
];

/// Removes all of this namespace, which has to be a sandbox's own. To be called when nothing else runs.
pub(super) fn remove_all() -> io::Result<()> {
    for (list, remove) in KINDS {
        for id in ids(list)? {
            match Errno::result(remove(id)) {
                // Memory that was removed while it was in use is gone by itself.
                Ok(_) | Err(Errno::EINVAL | Errno::EIDRM) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

/// The second column of a list with a heading.
fn ids(list: &str) -> io::Result<Vec<i32>> {
    let text = match fs::read_to_string(list) {
        // A kernel that has none of it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
        text => text?,
    };
    Ok(text.lines().skip(1).filter_map(|line| line.split_whitespace().nth(1)?.parse().ok()).collect())
}

fn remove_memory(id: i32) -> i32 {
    // SAFETY: removing takes no pointer.
    unsafe { libc::shmctl(id, libc::IPC_RMID, std::ptr::null_mut()) }
}

fn remove_queue(id: i32) -> i32 {
    // SAFETY: removing takes no pointer.
    unsafe { libc::msgctl(id, libc::IPC_RMID, std::ptr::null_mut()) }
}

fn remove_semaphores(id: i32) -> i32 {
    // SAFETY: removing takes no further argument.
    unsafe { libc::semctl(id, 0, libc::IPC_RMID) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Only what the test itself makes: this is the namespace of the machine.
    #[test]
    fn what_a_command_left_is_listed_and_removed() {
        // SAFETY: numbers only.
        let made = unsafe {
            [
                libc::shmget(libc::IPC_PRIVATE, 4096, 0o600),
                libc::msgget(libc::IPC_PRIVATE, 0o600),
                libc::semget(libc::IPC_PRIVATE, 1, 0o600),
            ]
        };
        for ((list, remove), id) in KINDS.into_iter().zip(made) {
            assert!(id >= 0 && ids(list).expect("a list").contains(&id), "{list}: {id}");
            assert_eq!(remove(id), 0);
            assert!(!ids(list).expect("a list").contains(&id), "{list}: {id} is still there");
        }
        assert_eq!(ids("/proc/sysvipc/no-such-list").expect("none"), [0; 0]);
    }
}
