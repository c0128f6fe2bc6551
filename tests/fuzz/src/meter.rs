//! Processor time and memory of one input.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use nix::libc;

/// Processor time that an input may take, in nanoseconds.
const MOST_TIME: u64 = 1_000_000_000;
/// Bytes that may be held at once for an input.
const MOST_MEMORY: usize = 64 << 20;
/// The same for inputs as long as the product takes them.
const MOST_MEMORY_LONG: usize = 256 << 20;

/// Counts what is held.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static MOST_HELD: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call goes to the system's allocator with the same arguments.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Relaxed) + layout.size();
        MOST_HELD.fetch_max(held, Relaxed);
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }
}

static SLOWEST: AtomicU64 = AtomicU64::new(0);
static SLOWEST_LENGTH: AtomicUsize = AtomicUsize::new(0);
static LARGEST: AtomicUsize = AtomicUsize::new(0);

pub fn measured(data: &[u8], run: fn(&[u8])) {
    let (took, held) = meter(data, run);
    assert!(took < MOST_TIME, "{} ms for {}", took / 1_000_000, shown(data));
    assert!(held < MOST_MEMORY, "{held} bytes are held for {}", shown(data));
}

/// An input and one of the same kind that is four times as long.
pub fn compared(quarter: &[u8], whole: &[u8], run: fn(&[u8])) {
    let (before, _) = meter(quarter, run);
    let (took, held) = meter(whole, run);
    let grows = took > MOST_TIME / 4 && took > before.saturating_mul(8);
    assert!(!grows, "{} ms and then {} ms for {}", before / 1_000_000, took / 1_000_000, shown(whole));
    assert!(took < 5 * MOST_TIME, "{} ms for {}", took / 1_000_000, shown(whole));
    assert!(held < MOST_MEMORY_LONG, "{held} bytes are held for {}", shown(whole));
}

fn meter(data: &[u8], run: fn(&[u8])) -> (u64, usize) {
    let before = HELD.load(Relaxed);
    MOST_HELD.store(before, Relaxed);
    let began = processor_time();
    run(data);
    let took = processor_time() - began;
    let held = MOST_HELD.load(Relaxed).saturating_sub(before);
    LARGEST.fetch_max(held, Relaxed);
    if SLOWEST.fetch_max(took, Relaxed) < took {
        SLOWEST_LENGTH.store(data.len(), Relaxed);
    }
    (took, held)
}

fn shown(data: &[u8]) -> String {
    format!("{} bytes: {:?}", data.len(), String::from_utf8_lossy(&data[..data.len().min(60)]))
}

/// Of this thread, so that what else the machine does is not counted.
fn processor_time() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock is there on every Linux, and the pointer is to a value of ours.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// Prints the figures when libFuzzer ends the process in order.
pub fn report_at_exit() {
    extern "C" fn report() {
        let slowest = SLOWEST.load(Relaxed);
        eprintln!("meter::slowest_us: {}", slowest / 1_000);
        eprintln!("meter::slowest_bytes: {}", SLOWEST_LENGTH.load(Relaxed));
        eprintln!("meter::most_memory_kb: {}", LARGEST.load(Relaxed) / 1024);
    }
    // SAFETY: a function without a state.
    unsafe { libc::atexit(report) };
}
