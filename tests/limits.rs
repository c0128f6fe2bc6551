//! What hostile commands cost: each is ended soon after the limit that it hits, whatever it does, and the
//! host hardly notices.

use std::time::{Duration, Instant};

use orchestrator::sandbox::{Command, Exit, LimitHit, Outcome, Session};

mod backend_support;
use backend_support::engine::Engine;
use backend_support::*;

for_every_backend!(
    a_fork_bomb_is_bounded_and_ends,
    ten_gigabytes_of_output_end_the_command,
    a_disk_filler_is_ended,
    what_makes_empty_files_without_end_is_ended,
    what_ignores_term_and_leaves_its_session_is_ended_in_time,
    memory_is_limited_files_in_memory_included,
    processor_time_is_limited_over_all_processes,
    one_file_is_limited,
    many_processes_are_refused_and_that_is_said,
);

/// One at a time: memory is measured.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

const MOST_HOST_MEMORY: u64 = 100 << 20;
const SANDBOX_MEMORY: u64 = 48 << 20;
/// How long after its limit a command may live, on a machine that has much else to do.
const SLACK: Duration = Duration::from_secs(60);

/// Runs a command that is to be ended, and holds what it cost against the bounds.
async fn ended(place: &Place, session: &dyn Session, command: &Command, limit_after: Duration) -> Outcome {
    let before = host_memory(place);
    let (stop, mut stopped) = tokio::sync::oneshot::channel();
    let measured = async {
        let mut most = before;
        while stopped.try_recv().is_err() {
            most = most.max(host_memory(place));
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        most
    };
    let start = Instant::now();
    let run = async {
        let outcome = session.run(command).await.expect("ran");
        let _ = stop.send(());
        outcome
    };
    let (outcome, most) = tokio::join!(run, measured);
    let took = start.elapsed();
    assert!(took < limit_after + SLACK, "{:?} was only ended after {took:?}", outcome.limit);
    // A pod's memory is sampled: what is seen of it depends on when the sampler gets its turn.
    let inside = if place.kind == Kind::Kubernetes { 0 } else { outcome.peak_memory_bytes };
    let grown = most.saturating_sub(before) + inside;
    assert!(grown < MOST_HOST_MEMORY, "host and sandbox took {grown} bytes");
    println!("{:?}: {:?} after {took:?}, {grown} bytes", place.kind, outcome.limit);
    outcome
}

/// What this program and the engine's service take, shares of what they share included.
fn host_memory(place: &Place) -> u64 {
    let service = (place.kind != Kind::Bubblewrap).then(|| Engine::get().service);
    [Some(std::process::id()), service]
        .into_iter()
        .flatten()
        .map(|pid| {
            let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
            let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
            kilobytes.unwrap_or(0) * 1024
        })
        .sum()
}

fn hostile(script: &str) -> Command {
    let mut command = shell(script);
    command.limits.memory_bytes = SANDBOX_MEMORY;
    command
}

async fn a_fork_bomb_is_bounded_and_ends(place: Place) {
    let _turn = TURN.lock().await;
    let session = place.open(&[]).await;
    let mut command = hostile("bomb() { bomb | bomb & }; bomb; sleep 1000");
    command.limits.processes = 40;
    command.limits.wall = Duration::from_secs(2);
    let outcome = ended(&place, &*session, &command, command.limits.wall).await;
    let limits = [LimitHit::Wall, LimitHit::Processes, LimitHit::Memory];
    let gave_up = !place.counts() && outcome.exit != Exit::Code(0);
    assert!(outcome.limit.is_some_and(|limit| limits.contains(&limit)) || gave_up, "{outcome:?}");
    assert_eq!(sh(&*session, "ls -d /proc/[0-9]* | wc -l").await.exit, Exit::Code(0));
}

async fn ten_gigabytes_of_output_end_the_command(place: Place) {
    let _turn = TURN.lock().await;
    let session = place.open(&[]).await;
    let mut command = hostile("echo first; head -c 10737418240 /dev/zero | tr '\\0' x; echo last");
    command.limits.output_bytes = 20 << 20;
    let outcome = ended(&place, &*session, &command, Duration::ZERO).await;
    assert_eq!((outcome.limit, outcome.exit), (Some(LimitHit::Output), Exit::Signal(9)));
    assert!(outcome.stdout.text().starts_with("first\nxxxx") && outcome.stdout.text().len() < 1 << 20);
    assert!((20 << 20..24 << 20).contains(&outcome.stdout.total_bytes()), "{}", outcome.stdout.total_bytes());
    let mut whole = vec![];
    std::io::Read::read_to_end(&mut outcome.stdout.whole(), &mut whole).expect("read");
    assert_eq!(whole.len(), 20 << 20);
}

async fn a_disk_filler_is_ended(place: Place) {
    let _turn = TURN.lock().await;
    let session = place.open(&[]).await;
    let mut command =
        hostile("i=0; while :; do i=$((i+1)); head -c 1000000 /dev/zero > /tree/f$i; sleep 0.01; done");
    command.limits.disk_bytes = 30 << 20;
    let outcome = ended(&place, &*session, &command, Duration::from_secs(3)).await;
    assert_eq!((outcome.limit, outcome.exit), (Some(LimitHit::Disk), Exit::Signal(9)));
}

async fn what_makes_empty_files_without_end_is_ended(place: Place) {
    let _turn = TURN.lock().await;
    let session = place.open(&[]).await;
    let mut command = hostile("i=0; while :; do i=$((i+1)); : > /tree/f$i; done");
    command.limits.disk_bytes = 10 << 20;
    let outcome = ended(&place, &*session, &command, Duration::from_secs(5)).await;
    assert_eq!((outcome.limit, outcome.exit), (Some(LimitHit::Disk), Exit::Signal(9)));
}

async fn what_ignores_term_and_leaves_its_session_is_ended_in_time(place: Place) {
    let _turn = TURN.lock().await;
    let session = place.open(&[]).await;
    let mut command = hostile(
        "trap '' TERM INT HUP; setsid sh -c 'trap \"\" TERM; while :; do echo x >> /tree/alive; sleep 0.05; done' & \
         setsid sleep 1000 & echo started; while :; do sleep 0.1; done",
    );
    command.limits.wall = Duration::from_secs(5);
    let outcome = ended(&place, &*session, &command, command.limits.wall).await;
    assert_eq!((outcome.limit, outcome.exit), (Some(LimitHit::Wall), Exit::Signal(9)));
    assert_eq!(outcome.stdout.text(), "started\n");
    assert!(outcome.wall < command.limits.wall + SLACK, "{:?}", outcome.wall);
    let text = sh(&*session, "wc -c < alive; sleep 0.3; wc -c < alive").await.stdout.text();
    let sizes: Vec<&str> = text.lines().collect();
    assert!(sizes.len() == 2 && sizes[0] == sizes[1], "something still runs: {text}");
}

async fn memory_is_limited_files_in_memory_included(place: Place) {
    let _turn = TURN.lock().await;
    let session = place.open(&[]).await;
    let grows = "awk 'BEGIN { s = \"0123456789abcdef\"; while (1) s = s s }'";
    let outcome = ended(&place, &*session, &hostile(grows), Duration::from_secs(5)).await;
    assert_ne!(outcome.exit, Exit::Code(0));
    // Allocations are refused there, and nobody says by which limit.
    assert!(outcome.limit == Some(LimitHit::Memory) || !place.counts(), "{outcome:?}");
    // A pod's memory is sampled, and a writer overshoots by what it writes between two looks: there it is one
    // that a late look cannot miss.
    let write = match place.kind {
        Kind::Kubernetes => "for i in $(seq 500); do head -c 1000000 /dev/zero || exit; sleep 0.02; done",
        _ => "head -c 500000000 /dev/zero",
    };
    let files = format!("for f in /tmp/a /dev/shm/b; do ({write}) > $f && echo full; done; true");
    let outcome = ended(&place, &*session, &hostile(&files), Duration::from_secs(5)).await;
    assert_eq!(outcome.stdout.text(), "");
    let more = if place.kind == Kind::Kubernetes { 4 * SANDBOX_MEMORY } else { 1 << 20 };
    assert!(outcome.peak_memory_bytes <= SANDBOX_MEMORY + more, "{}", outcome.peak_memory_bytes);
}

async fn processor_time_is_limited_over_all_processes(place: Place) {
    let _turn = TURN.lock().await;
    let session = place.open(&[]).await;
    // Each of them alone may have as much: together they would come to 10 s.
    let mut command = hostile("for i in $(seq 10); do (while :; do :; done) & done; wait");
    command.limits.cpu = Duration::from_secs(1);
    let outcome = ended(&place, &*session, &command, Duration::from_secs(5)).await;
    assert_eq!(outcome.limit, Some(LimitHit::Cpu), "{outcome:?}");
    assert!((1..8).contains(&outcome.cpu.as_secs()), "{:?}", outcome.cpu);
}

async fn one_file_is_limited(place: Place) {
    let _turn = TURN.lock().await;
    let session = place.open(&[]).await;
    let mut command = Command::new(["dd", "if=/dev/zero", "of=/tree/big", "bs=1M", "count=100"]);
    command.limits.file_bytes = 10 << 20;
    let outcome = session.run(&command).await.expect("ran");
    assert_eq!(outcome.limit, Some(LimitHit::FileSize), "{outcome:?}");
    let size = sh(&*session, "wc -c < big").await.stdout.text();
    assert_eq!(size.trim(), (10 << 20).to_string());
}

async fn many_processes_are_refused_and_that_is_said(place: Place) {
    let _turn = TURN.lock().await;
    let session = place.open(&[]).await;
    let mut command = hostile("for i in 1 2 3 4 5 6 7 8 9; do sleep 5 & done 2>&1; wait");
    command.limits.processes = 5;
    let outcome = ended(&place, &*session, &command, Duration::from_secs(5)).await;
    // Nobody counts the refusals there: a shell that may not fork ends.
    let gave_up = !place.counts() && outcome.exit != Exit::Code(0);
    assert!(outcome.limit == Some(LimitHit::Processes) || gave_up, "{outcome:?}");
    // As many as are allowed are no reason to complain.
    let mut command = hostile("for i in 1 2 3 4; do sleep 0.2 & done; wait; echo fine");
    command.limits.processes = 6;
    let outcome = session.run(&command).await.expect("ran");
    assert_eq!(
        (outcome.limit, outcome.stdout.text().as_str()),
        (None, "fine\n"),
        "{}",
        outcome.stderr.text()
    );
}

/// What bubblewrap does, as a user who is not root, where limits are sampled and not kept by control groups.
#[test]
fn everything_holds_for_an_ordinary_user_too() {
    again_as_an_ordinary_user(&["bubblewrap::"]);
}

/// The weak variant: no limits but those of this test. What the limits above end, does its harm there.
#[tokio::test]
async fn without_limits_each_attack_does_its_harm() {
    // What it takes of this program's memory would be counted as the others'.
    let _turn = TURN.lock().await;
    let root = tempfile::tempdir().expect("a folder");
    let tree = root.path().to_str().expect("text");
    let careless = |script: &str| {
        let options = "-s TERM 60 bwrap --ro-bind / / --proc /proc --dev /dev";
        let mut command = std::process::Command::new("timeout");
        command.args(options.split(' ')).args(["--bind", tree, tree, "--chdir", tree]);
        command.args(["--", "sh", "-c", script]).output().expect("bubblewrap")
    };
    let forked = careless(
        "i=0; while [ $i -lt 60 ]; do sleep 50 & p=\"$p $!\"; i=$((i+1)); done; jobs > jobs; wc -l < jobs; kill $p",
    );
    assert_eq!(String::from_utf8_lossy(&forked.stdout).trim(), "60", "more processes than the limit");
    let flood = careless("head -c 67108864 /dev/zero").stdout;
    assert_eq!(flood.len(), 64 << 20, "all of it is in this program's memory");
    careless("i=0; while [ $i -lt 50 ]; do i=$((i+1)); head -c 1000000 /dev/zero > f$i; done");
    let filled: u64 = std::fs::read_dir(root.path())
        .expect("the folder")
        .map(|entry| entry.and_then(|entry| entry.metadata()).expect("a file").len())
        .sum();
    assert!(filled >= 50_000_000, "{filled} bytes are on the disk, more than the limit");

    // Ended as a time-out ends it, once the survivor has said who it is: TERM for the whole process group.
    careless(
        "setsid sh -c 'trap \"\" TERM; echo $$ > pid; exec sleep 600' > /dev/null 2>&1 & \
         until [ -s pid ]; do sleep 0.05; done; kill -TERM 0; sleep 60",
    );
    let pid = std::fs::read_to_string(root.path().join("pid")).expect("it ran");
    let survivor = nix::unistd::Pid::from_raw(pid.trim().parse().expect("a number"));
    let killed = nix::sys::signal::kill(survivor, nix::sys::signal::Signal::SIGKILL);
    assert_eq!(killed, Ok(()), "what ignores TERM and left its session outlives the time-out");
}
