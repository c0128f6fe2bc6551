//! The load for `scripts/bench-receiver`: signed webhooks to a server on this machine, as fast as it
//! answers, each with a delivery id of its own.
//!
//! A thread a connection, each with one request under way (a closed loop). Only the standard library is
//! used, so that the script can compile it with `rustc` alone. At the end every request that was sent has
//! been answered: the number of answers can be compared with what the server stored.
//!
//! Nothing is signed here: the signature covers the body, which stays the same, and not the delivery id.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

const USAGE: &str = "load PORT PATH EVENT SIGNATURE BODY_FILE CONNECTIONS WARM_UP_SECONDS SECONDS\n\
    Prints: requests a second, milliseconds at 50 % and 99 % and at most, errors, 2xx answers in all";
/// Longest silence of the server that is waited out.
const PATIENCE: Duration = Duration::from_secs(20);
/// Longest head of an answer.
const HEAD_CAP: usize = 16 * 1024;
const GUID_PLACE: &str = "00000000-0000-0000-0000-000000000000";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match Plan::read(&arguments).and_then(|plan| run(&plan)) {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(fault) => {
            eprintln!("{fault}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

/// What is sent, to whom, and for how long.
struct Plan {
    address: SocketAddr,
    /// A whole request with a place for the delivery id.
    request: Vec<u8>,
    guid_at: usize,
    connections: u64,
    warm_up: Duration,
    measured: Duration,
}

impl Plan {
    fn read(arguments: &[String]) -> Result<Self, String> {
        let [port, path, event, signature, body, connections, warm_up, measured] = arguments else {
            return Err("eight arguments are needed".to_owned());
        };
        let body = std::fs::read(body).map_err(|error| format!("cannot read {body}: {error}"))?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, number(port)?));
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: GitHub-Hookshot/bench\r\nAccept: */*\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\nX-GitHub-Event: {event}\r\n\
             X-GitHub-Hook-ID: 1\r\nX-Hub-Signature-256: {signature}\r\nX-GitHub-Delivery: {GUID_PLACE}\r\n\r\n",
            body.len()
        );
        let guid_at = head.find(GUID_PLACE).ok_or("the request has no place for the delivery id")?;
        Ok(Self {
            address,
            request: [head.into_bytes(), body].concat(),
            guid_at,
            connections: number(connections)?,
            warm_up: Duration::from_secs(number(warm_up)?),
            measured: Duration::from_secs(number(measured)?),
        })
    }
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("`{text}` is no number that fits"))
}

/// What one connection saw.
#[derive(Default)]
struct Seen {
    /// Microseconds from the first byte sent to the last byte read, of 2xx answers in the measured time.
    latencies: Vec<u32>,
    accepted: u64,
    errors: u64,
    last_error: Option<String>,
}

fn run(plan: &Plan) -> Result<String, String> {
    let begin = Instant::now();
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let seed = clock.as_nanos() as u64 ^ u64::from(std::process::id()).rotate_left(40);
    let seen: Vec<Seen> = thread::scope(|scope| {
        let threads: Vec<_> = (0..plan.connections)
            .map(|number| scope.spawn(move || connection(plan, begin, Random(seed ^ (number << 48)))))
            .collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    if seen.len() as u64 != plan.connections {
        return Err("a connection's thread panicked".to_owned());
    }
    let mut latencies: Vec<u32> = seen.iter().flat_map(|seen| seen.latencies.iter().copied()).collect();
    latencies.sort_unstable();
    let accepted: u64 = seen.iter().map(|seen| seen.accepted).sum();
    let errors: u64 = seen.iter().map(|seen| seen.errors).sum();
    if let Some(error) = seen.iter().find_map(|seen| seen.last_error.as_ref()) {
        eprintln!("load: {errors} errors, one of them: {error}");
    }
    let at = |part: f64| {
        let index = (latencies.len() as f64 * part) as usize;
        let micros = latencies.get(index.min(latencies.len().saturating_sub(1)));
        micros.map_or(f64::NAN, |micros| f64::from(*micros) / 1000.0)
    };
    let rate = latencies.len() as f64 / plan.measured.as_secs_f64();
    Ok(format!("{rate:.0} {:.2} {:.2} {:.2} {errors} {accepted}", at(0.5), at(0.99), at(1.0)))
}

fn connection(plan: &Plan, begin: Instant, mut random: Random) -> Seen {
    let mut seen = Seen::default();
    let mut request = plan.request.clone();
    let (measure_from, end) = (begin + plan.warm_up, begin + plan.warm_up + plan.measured);
    let mut stream = None;
    while Instant::now() < end {
        random.write_guid(&mut request[plan.guid_at..plan.guid_at + GUID_PLACE.len()]);
        let sent = Instant::now();
        let status = exchange(&mut stream, plan.address, &request);
        let answered = Instant::now();
        match status {
            Ok(200..=299) => {
                seen.accepted += 1;
                if answered >= measure_from && answered < end {
                    seen.latencies.push(u32::try_from((answered - sent).as_micros()).unwrap_or(u32::MAX));
                }
            }
            Ok(status) => {
                seen.errors += 1;
                seen.last_error = Some(format!("status {status}"));
            }
            Err(error) => {
                seen.errors += 1;
                seen.last_error = Some(error.to_string());
                stream = None;
                // Not a busy loop where nobody listens.
                thread::sleep(Duration::from_millis(20));
            }
        }
    }
    seen
}

/// Sends one request and reads its whole answer.
fn exchange(stream: &mut Option<TcpStream>, to: SocketAddr, request: &[u8]) -> std::io::Result<u16> {
    let stream = match stream {
        Some(stream) => stream,
        None => {
            let fresh = TcpStream::connect_timeout(&to, PATIENCE)?;
            fresh.set_nodelay(true)?;
            fresh.set_read_timeout(Some(PATIENCE))?;
            fresh.set_write_timeout(Some(PATIENCE))?;
            stream.insert(fresh)
        }
    };
    stream.write_all(request)?;
    let mut answer = Vec::with_capacity(1024);
    let mut chunk = [0; 4096];
    loop {
        let count = stream.read(&mut chunk)?;
        if count == 0 {
            return Err(fault("the server closed the connection"));
        }
        answer.extend_from_slice(&chunk[..count]);
        if let Some(head_end) = find(&answer, b"\r\n\r\n") {
            let head =
                std::str::from_utf8(&answer[..head_end]).map_err(|_| fault("a head that is no text"))?;
            if whole(head, &answer[head_end + 4..])? {
                return status(head);
            }
        } else if answer.len() > HEAD_CAP {
            return Err(fault("a head without an end"));
        }
    }
}

fn status(head: &str) -> std::io::Result<u16> {
    let code = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
    code.and_then(|code| code.parse().ok()).ok_or_else(|| fault("not an answer of HTTP/1.1"))
}

/// Whether the body that the head announces is there.
fn whole(head: &str, body: &[u8]) -> std::io::Result<bool> {
    for line in head.lines().skip(1) {
        let Some((name, value)) = line.split_once(':') else { continue };
        if name.eq_ignore_ascii_case("content-length") {
            let length: usize =
                value.trim().parse().map_err(|_| fault("a Content-Length that is no number"))?;
            return Ok(body.len() >= length);
        }
        if name.eq_ignore_ascii_case("transfer-encoding") {
            return Ok(body.ends_with(b"0\r\n\r\n"));
        }
    }
    Err(fault("an answer that does not say where it ends"))
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

fn fault(what: &str) -> std::io::Error {
    std::io::Error::other(what.to_owned())
}

/// SplitMix64: enough to make delivery ids that differ and that are spread over an index.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn write_guid(&mut self, place: &mut [u8]) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut bits = (u128::from(self.next()) << 64) | u128::from(self.next());
        for digit in place.iter_mut().filter(|digit| **digit != b'-') {
            *digit = DIGITS[(bits & 15) as usize];
            bits >>= 4;
        }
    }
}
