//! The inbox: a small SMTP server on loopback that keeps what it is given as `.eml` files.
//!
//! It speaks RFC 5321 with PIPELINING, SIZE, 8BITMIME and AUTH (PLAIN and LOGIN, any password), writes a
//! message to the disk before it answers 250, and can be told to fail as real servers do ([`Fault`]).
//!
//! Not here: TLS (it listens on loopback only), delivery to anyone else, and any check of who sends.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

/// What RFC 5321 (4.5.3.1) allows a command line, with room for AUTH (RFC 4954: 12288).
const LONGEST_LINE: u64 = 12_288;
const LARGEST_MESSAGE: usize = 25 * 1024 * 1024;

/// One accepted message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedMail {
    /// The envelope's sender.
    pub from: String,
    /// The envelope's recipients.
    pub to: Vec<String>,
    /// The header's value with its angle brackets; empty if there is none.
    pub message_id: String,
    /// Unfolded and decoded.
    pub subject: String,
    /// What came after DATA, with the dots as the sender meant them.
    pub raw: Vec<u8>,
    pub path: PathBuf,
    /// Who signed in for it.
    pub signed_in_as: Option<String>,
}

/// A failure to play.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Every connection is greeted with 421 and closed, from now on for so long.
    Away(Duration),
    /// Every MAIL command is answered 451, from now on for so long.
    Busy(Duration),
    /// So many messages are written to the disk and then not answered: the connection drops.
    DropAfterStoring(u32),
    /// This recipient is answered 550, always.
    NoSuchMailbox(String),
}

#[derive(Default)]
struct Faults {
    away_until: Option<Instant>,
    busy_until: Option<Instant>,
    drops: u32,
    no_such_mailbox: Vec<String>,
}

struct Shared {
    folder: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    messages: Vec<ReceivedMail>,
    faults: Faults,
    /// The number of the last file.
    last: u32,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that holds the lock can leave the state half-changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running inbox; dropping it closes it and every connection. The files stay.
pub struct Inbox {
    port: u16,
    shared: Arc<Shared>,
    server: AbortHandle,
}

impl Inbox {
    /// Listens on a free port of 127.0.0.1 and writes to `folder`, which is made if it is not there.
    /// Files that are there already are kept, and numbering goes on behind them.
    ///
    /// # Errors
    /// The folder cannot be made or read, or no port is free.
    pub async fn start(folder: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let last = std::fs::read_dir(folder)?
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.split('-').next()?.parse().ok())
            .max()
            .unwrap_or(0);
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let state = Mutex::new(State { last, ..State::default() });
        let shared = Arc::new(Shared { folder: folder.to_owned(), state });
        let server = tokio::spawn(accept(listener, Arc::clone(&shared))).abort_handle();
        Ok(Self { port, shared, server })
    }

    /// For `SMTP_URL`; with a user, so that signing in is part of every run.
    pub fn smtp_url(&self) -> String {
        format!("smtp://orchestrator:inbox@127.0.0.1:{}", self.port)
    }

    /// What was accepted so far, in order.
    pub fn messages(&self) -> Vec<ReceivedMail> {
        self.shared.state().messages.clone()
    }

    pub fn inject(&self, fault: Fault) {
        let mut state = self.shared.state();
        let faults = &mut state.faults;
        match fault {
            Fault::Away(time) => faults.away_until = Some(Instant::now() + time),
            Fault::Busy(time) => faults.busy_until = Some(Instant::now() + time),
            Fault::DropAfterStoring(count) => faults.drops = count,
            Fault::NoSuchMailbox(address) => faults.no_such_mailbox.push(address),
        }
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Dropped with this task, and every connection with it.
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(connections.spawn(serve(stream, Arc::clone(&shared)))),
            // No file descriptor left, say: wait until there is one.
            Err(error) => {
                tracing::warn!(%error, "the inbox cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let (reader, writer) = stream.into_split();
    let session =
        Session { reader: BufReader::new(reader), writer, shared, envelope: Envelope::default(), user: None };
    if let Err(error) = session.run().await {
        tracing::debug!(%error, "a connection to the inbox ended early");
    }
}

#[derive(Default)]
struct Envelope {
    from: Option<String>,
    to: Vec<String>,
}

struct Session {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
    shared: Arc<Shared>,
    envelope: Envelope,
    user: Option<String>,
}

/// What follows a command.
enum Next {
    Reply(&'static str),
    Data,
    SignIn(String),
    Quit,
}

impl Session {
    async fn run(mut self) -> io::Result<()> {
        if self.shared.state().faults.away_until.is_some_and(|until| Instant::now() < until) {
            return self.reply("421 inbox.localhost is away, try again later").await;
        }
        self.reply("220 inbox.localhost ESMTP").await?;
        while let Some(line) = self.line().await? {
            match self.command(&line) {
                Next::Reply(reply) => self.reply(reply).await?,
                Next::SignIn(arguments) => self.sign_in(&arguments).await?,
                Next::Quit => return self.reply("221 2.0.0 goodbye").await,
                Next::Data => {
                    if !self.receive().await? {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    async fn reply(&mut self, text: &str) -> io::Result<()> {
        self.writer.write_all(format!("{text}\r\n").as_bytes()).await
    }

    /// The next line without its end; `None` when the peer is gone. Whatever was sent ahead (PIPELINING)
    /// stays in the reader.
    async fn line(&mut self) -> io::Result<Option<String>> {
        let mut line = Vec::new();
        let read = (&mut self.reader).take(LONGEST_LINE).read_until(b'\n', &mut line).await?;
        if read == 0 {
            return Ok(None);
        }
        if !line.ends_with(b"\n") {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a command line is too long"));
        }
        Ok(Some(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned()))
    }

    fn command(&mut self, line: &str) -> Next {
        let (verb, arguments) = line.split_once(' ').unwrap_or((line, ""));
        let reply = match verb.to_ascii_uppercase().as_str() {
            "EHLO" => {
                self.envelope = Envelope::default();
                "250-inbox.localhost\r\n250-PIPELINING\r\n250-SIZE 26214400\r\n250-8BITMIME\r\n\
                 250-ENHANCEDSTATUSCODES\r\n250 AUTH PLAIN LOGIN"
            }
            "HELO" => {
                self.envelope = Envelope::default();
                "250 inbox.localhost"
            }
            "AUTH" if self.user.is_some() => "503 5.5.1 signed in already",
            "AUTH" => return Next::SignIn(arguments.to_owned()),
            "MAIL" => self.mail(arguments),
            "RCPT" => self.recipient(arguments),
            "DATA" if self.envelope.from.is_none() => "503 5.5.1 MAIL comes first",
            "DATA" if self.envelope.to.is_empty() => "554 5.5.1 no valid recipients",
            "DATA" => return Next::Data,
            "RSET" => {
                self.envelope = Envelope::default();
                "250 2.0.0 reset"
            }
            "NOOP" => "250 2.0.0 here",
            "VRFY" => "252 2.1.5 send it and see",
            "QUIT" => return Next::Quit,
            _ => "500 5.5.2 unknown command",
        };
        Next::Reply(reply)
    }

    fn mail(&mut self, arguments: &str) -> &'static str {
        if self.shared.state().faults.busy_until.is_some_and(|until| Instant::now() < until) {
            return "451 4.3.2 busy, try again later";
        }
        if self.envelope.from.is_some() {
            return "503 5.5.1 one sender a message";
        }
        let Some((address, parameters)) = path_after(arguments, "FROM:") else {
            return "501 5.5.4 expected MAIL FROM:<address>";
        };
        for parameter in parameters.split_whitespace() {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            match name.to_ascii_uppercase().as_str() {
                "SIZE" if value.parse::<usize>().is_ok_and(|size| size > LARGEST_MESSAGE) => {
                    return "552 5.3.4 too large";
                }
                "SIZE" | "BODY" | "AUTH" => {}
                _ => return "555 5.5.4 unknown parameter",
            }
        }
        self.envelope.from = Some(address);
        "250 2.1.0 sender ok"
    }

    fn recipient(&mut self, arguments: &str) -> &'static str {
        if self.envelope.from.is_none() {
            return "503 5.5.1 MAIL comes first";
        }
        match path_after(arguments, "TO:") {
            Some((address, _)) if address.is_empty() => "501 5.1.3 empty recipient",
            Some((address, _)) if self.shared.state().faults.no_such_mailbox.contains(&address) => {
                "550 5.1.1 no such mailbox"
            }
            Some((address, _)) => {
                self.envelope.to.push(address);
                "250 2.1.5 recipient ok"
            }
            None => "501 5.5.4 expected RCPT TO:<address>",
        }
    }

    async fn sign_in(&mut self, arguments: &str) -> io::Result<()> {
        let (mechanism, first) = arguments.split_once(' ').unwrap_or((arguments, ""));
        let user = match mechanism.to_ascii_uppercase().as_str() {
            "PLAIN" => {
                let answer = if first.is_empty() { self.challenge("334 ").await? } else { first.to_owned() };
                // RFC 4616: whom to act for, who signs in, password.
                decode(&answer).and_then(|text| text.split('\0').nth(1).map(str::to_owned))
            }
            "LOGIN" => {
                let user = if first.is_empty() {
                    self.challenge("334 VXNlcm5hbWU6").await?
                } else {
                    first.to_owned()
                };
                let password = self.challenge("334 UGFzc3dvcmQ6").await?;
                decode(&user).filter(|_| decode(&password).is_some())
            }
            _ => return self.reply("504 5.5.4 unknown mechanism").await,
        };
        match user.filter(|user| !user.is_empty()) {
            Some(user) => {
                self.user = Some(user);
                self.reply("235 2.7.0 signed in").await
            }
            None => self.reply("535 5.7.8 credentials cannot be read").await,
        }
    }

    async fn challenge(&mut self, text: &str) -> io::Result<String> {
        self.reply(text).await?;
        Ok(self.line().await?.unwrap_or_default())
    }

    /// Receives a message after DATA. `false`: the connection is to be dropped without an answer.
    async fn receive(&mut self) -> io::Result<bool> {
        self.reply("354 go ahead, and end with a dot on a line of its own").await?;
        let Some(raw) = self.content().await? else {
            self.envelope = Envelope::default();
            self.reply("552 5.3.4 too large").await?;
            return Ok(true);
        };
        let envelope = std::mem::take(&mut self.envelope);
        let stored = store(&self.shared, envelope, raw, self.user.clone());
        if let Err(error) = stored {
            tracing::warn!(%error, "the inbox cannot write a message");
            self.reply("452 4.3.1 cannot write the message").await?;
            return Ok(true);
        }
        {
            let faults = &mut self.shared.state().faults;
            if faults.drops > 0 {
                faults.drops -= 1;
                return Ok(false);
            }
        }
        self.reply("250 2.0.0 kept").await?;
        Ok(true)
    }

    /// The message up to the line with the dot; `None` if it was too large (and is skipped).
    async fn content(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut raw = Vec::new();
        let mut too_large = false;
        let mut at_line_start = true;
        loop {
            let mut piece = Vec::new();
            if (&mut self.reader).take(64 * 1024).read_until(b'\n', &mut piece).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            // Exactly this ends a message. Taking a bare line feed for it lets one message smuggle another
            // (CVE-2023-51764).
            if at_line_start && piece == b".\r\n" && (raw.is_empty() || raw.ends_with(b"\r\n")) {
                return Ok((!too_large).then_some(raw));
            }
            let text = if at_line_start && piece.starts_with(b".") { &piece[1..] } else { &piece[..] };
            too_large |= raw.len() + text.len() > LARGEST_MESSAGE;
            if too_large {
                // Only the end matters, to see where the message stops.
                raw = text.to_vec();
            } else {
                raw.extend_from_slice(text);
            }
            at_line_start = piece.ends_with(b"\n");
        }
    }
}

/// Writes the message whole: to a file of another name first, so that a reader never sees half of it.
fn store(shared: &Shared, envelope: Envelope, raw: Vec<u8>, user: Option<String>) -> io::Result<()> {
    let subject = decode_words(&header(&raw, "subject"));
    let mut state = shared.state();
    let path = shared.folder.join(format!("{:04}-{}.eml", state.last + 1, slug(&subject)));
    let mut file = tempfile::NamedTempFile::new_in(&shared.folder)?;
    io::Write::write_all(&mut file, &raw)?;
    file.as_file().sync_all()?;
    file.persist(&path)?;
    state.last += 1;
    let message_id = header(&raw, "message-id");
    let (from, to) = (envelope.from.unwrap_or_default(), envelope.to);
    state.messages.push(ReceivedMail { from, to, message_id, subject, raw, path, signed_in_as: user });
    Ok(())
}

/// The address and the parameters of `FROM:<address> PARAMETERS`.
fn path_after(arguments: &str, keyword: &str) -> Option<(String, String)> {
    let start = arguments.get(..keyword.len())?;
    let rest = start.eq_ignore_ascii_case(keyword).then(|| arguments[keyword.len()..].trim_start())?;
    let (address, parameters) = rest.strip_prefix('<')?.split_once('>')?;
    Some((address.to_owned(), parameters.trim().to_owned()))
}

fn decode(text: &str) -> Option<String> {
    String::from_utf8(BASE64.decode(text.trim()).ok()?).ok()
}

/// The unfolded value of the first header of that name (in lower case).
fn header(raw: &[u8], name: &str) -> String {
    let text = String::from_utf8_lossy(raw);
    let mut lines = text.split("\r\n").take_while(|line| !line.is_empty()).peekable();
    while let Some(line) = lines.next() {
        let Some((key, value)) = line.split_once(':') else { continue };
        if key.trim().eq_ignore_ascii_case(name) {
            let mut value = value.trim().to_owned();
            while let Some(more) = lines.next_if(|line| line.starts_with([' ', '\t'])) {
                value.push(' ');
                value.push_str(more.trim());
            }
            return value;
        }
    }
    String::new()
}

/// RFC 2047's encoded words in UTF-8 become text; others stay as they are.
fn decode_words(text: &str) -> String {
    let mut decoded = String::new();
    let mut after_word = false;
    for word in text.split(' ') {
        let value = decode_word(word);
        // White space between two encoded words is no part of the text.
        let between_words = after_word && value.is_some();
        if !decoded.is_empty() && !between_words {
            decoded.push(' ');
        }
        after_word = value.is_some();
        decoded.push_str(value.as_deref().unwrap_or(word));
    }
    decoded
}

fn decode_word(word: &str) -> Option<String> {
    let inner = word.strip_prefix("=?")?.strip_suffix("?=")?;
    let mut parts = inner.splitn(3, '?');
    let (charset, encoding, text) = (parts.next()?, parts.next()?, parts.next()?);
    let bytes = match encoding.to_ascii_lowercase().as_str() {
        "b" => BASE64.decode(text).ok()?,
        "q" => crate::config::percent_decoded(&text.replace('%', "%25").replace('=', "%").replace('_', " "))?
            .into(),
        _ => return None,
    };
    charset.eq_ignore_ascii_case("utf-8").then(|| String::from_utf8(bytes).ok())?
}

/// A subject as part of a file's name.
fn slug(subject: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { ' ' };
    let spaced: String = subject.chars().map(plain).collect();
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let slug: String = words.join("-").chars().take(60).collect();
    if slug.is_empty() { "mail".to_owned() } else { slug.trim_end_matches('-').to_owned() }
}
