//! The access log: one line for each request, written when its response body ends; JSON, or text on a terminal.
//!
//! PERF: lines gather in a buffer of the worker and go to one writer thread in pieces; a blocked log
//! never holds up a request, it loses lines, and says how many.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use cookie::time::OffsetDateTime;
use http::{Method, StatusCode};

use crate::clock::Timestamp;
use crate::store::Handle;

/// A buffer this full goes to the writer at once.
const FLUSH_AT: usize = 16 * 1024;
/// Buffers waiting for a writer that is held up.
const QUEUE: usize = 64;

/// How often [`AccessLog::flush`] should be called.
pub const FLUSH_EVERY: Duration = Duration::from_millis(200);

/// The writer thread. Dropped after all workers, it has written everything.
#[derive(Debug)]
pub struct Writer {
    queue: Option<SyncSender<Vec<u8>>>,
    lost: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread that writes to standard error.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start() -> std::io::Result<Self> {
        let (queue, lines) = sync_channel::<Vec<u8>>(QUEUE);
        let lost = Arc::new(AtomicU64::new(0));
        let lost_here = Arc::clone(&lost);
        let thread = std::thread::Builder::new().name("access-log".into()).spawn(move || {
            for piece in lines {
                // Nobody is left to tell when standard error is closed.
                let _ = std::io::stderr().write_all(&piece);
                match lost_here.swap(0, Ordering::Relaxed) {
                    0 => {}
                    lost => tracing::warn!(lost, "access log lines were lost: standard error takes them too slowly"),
                }
            }
        })?;
        Ok(Self { queue: Some(queue), lost, thread: Some(thread) })
    }

    /// The way to the writer, for one worker.
    #[must_use]
    pub fn queue(&self) -> Queue {
        let text = std::io::stderr().is_terminal();
        Queue { pieces: self.queue.clone(), lost: Arc::clone(&self.lost), text }
    }
}

/// Takes lines to the writer; may cross threads, as [`AccessLog`] may not.
#[derive(Debug, Clone)]
pub struct Queue {
    /// None once the writer has gone.
    pieces: Option<SyncSender<Vec<u8>>>,
    lost: Arc<AtomicU64>,
    /// Written for a person.
    text: bool,
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One worker's access log; perhaps off.
#[derive(Debug, Clone, Default)]
pub struct AccessLog(Option<Rc<Sink>>);

#[derive(Debug)]
struct Sink {
    buffer: RefCell<Vec<u8>>,
    queue: Queue,
}

impl AccessLog {
    /// The log of one worker, which goes to `queue`.
    #[must_use]
    pub fn new(queue: Queue) -> Self {
        Self(Some(Rc::new(Sink { buffer: RefCell::default(), queue })))
    }

    /// Begins the line of a request; `None` when the log is off.
    #[must_use]
    pub fn begin(&self, now: Timestamp, method: &Method, host: &str, path: &str) -> Option<Box<Record>> {
        let sink = Rc::clone(self.0.as_ref()?);
        Some(Box::new(Record {
            sink,
            time: now,
            started: Instant::now(),
            method: method.clone(),
            host: host.into(),
            // SECURITY: no query, it may hold secrets.
            path: path.into(),
            client: None,
            route: None,
            user: None,
            handle: None,
            status: StatusCode::OK,
            sent: 0,
            complete: false,
        }))
    }

    /// Hands what has gathered to the writer.
    pub fn flush(&self) {
        if let Some(sink) = &self.0 {
            sink.flush();
        }
    }
}

impl Sink {
    fn flush(&self) {
        let piece = std::mem::take(&mut *self.buffer.borrow_mut());
        if piece.is_empty() {
            return;
        }
        let lines = piece.iter().filter(|b| **b == b'\n').count() as u64;
        let taken = self.queue.pieces.as_ref().is_some_and(|pieces| pieces.try_send(piece).is_ok());
        if !taken {
            self.queue.lost.fetch_add(lines, Ordering::Relaxed);
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.flush();
    }
}

/// One request's line; written when it is dropped.
#[derive(Debug)]
pub struct Record {
    sink: Rc<Sink>,
    time: Timestamp,
    started: Instant,
    method: Method,
    host: Box<str>,
    path: Box<str>,
    /// The browser's address.
    pub client: Option<IpAddr>,
    /// Name of the route.
    pub route: Option<Arc<str>>,
    /// The signed-in user.
    pub user: Option<Box<str>>,
    /// The session.
    pub handle: Option<Handle>,
    /// Of the response.
    pub status: StatusCode,
    /// Bytes of the response body.
    pub sent: u64,
    /// Whether the body reached its end.
    pub complete: bool,
}

impl Record {
    /// The line as a program reads it.
    fn json(&self) -> String {
        let mut line = String::with_capacity(256);
        // Writing to a String cannot fail.
        let _ = write!(line, r#"{{"timestamp":"{}","level":"INFO","message":"request""#, rfc3339(self.time));
        let _ = write!(line, r#","client":"{}""#, self.client());
        field(&mut line, "method", self.method.as_str());
        field(&mut line, "host", &self.host);
        field(&mut line, "path", &self.path);
        let _ = write!(line, r#","status":{},"bytes":{}"#, self.status.as_u16(), self.sent);
        let _ = write!(line, r#","duration_ms":{:.3}"#, self.milliseconds());
        if let Some(route) = &self.route {
            field(&mut line, "route", route);
        }
        if let Some(user) = &self.user {
            field(&mut line, "user", user);
        }
        if let Some(handle) = self.handle {
            let _ = write!(line, r#","session":"{handle}""#);
        }
        if !self.complete {
            line.push_str(r#","aborted":true"#);
        }
        line.push_str("}\n");
        line
    }

    /// The line as a person reads it.
    fn text(&self) -> String {
        let user = self.user.as_deref().unwrap_or("-");
        let aborted = if self.complete { "" } else { " aborted" };
        // SECURITY: quoted as in Rust source, so that no value can begin a line of its own or steer the terminal.
        format!(
            "{} request {} {:?} {:?} {:?} {} {}B {:.1}ms{aborted}\n",
            rfc3339(self.time),
            self.client(),
            user,
            self.method.as_str(),
            format!("{}{}", self.host, self.path),
            self.status.as_u16(),
            self.sent,
            self.milliseconds(),
        )
    }

    fn client(&self) -> String {
        self.client.map(|client| client.to_string()).unwrap_or_default()
    }

    fn milliseconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64() * 1000.0
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let line = if self.sink.queue.text { self.text() } else { self.json() };
        let mut buffer = self.sink.buffer.borrow_mut();
        buffer.extend_from_slice(line.as_bytes());
        let full = buffer.len() >= FLUSH_AT;
        drop(buffer);
        if full {
            self.sink.flush();
        }
    }
}

/// SECURITY: quoted as JSON, so that no value can begin a line of its own.
fn field(line: &mut String, key: &str, value: &str) {
    let _ = write!(line, r#","{key}":"#);
    let plain = value.bytes().all(|b| (0x20..0x7f).contains(&b) && b != b'"' && b != b'\\');
    match plain {
        true => {
            let _ = write!(line, r#""{value}""#);
        }
        false => line.push_str(&serde_json::Value::from(value).to_string()),
    }
}

/// UTC, to the millisecond, as in RFC 3339.
#[must_use]
pub fn rfc3339(time: Timestamp) -> String {
    let seconds = i64::try_from(time.unix_seconds()).unwrap_or(i64::MAX);
    let utc = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (year, month, day) = utc.to_calendar_date();
    let (hour, minute, second) = utc.to_hms();
    let millis = time.0 % 1000;
    format!("{year:04}-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z", u8::from(month))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(path: &str, user: &str, text: bool) -> (Box<Record>, std::sync::mpsc::Receiver<Vec<u8>>) {
        let (pieces, lines) = sync_channel(1);
        let log = AccessLog::new(Queue { pieces: Some(pieces), lost: Arc::default(), text });
        let mut record = log.begin(Timestamp(1_700_000_000_123), &Method::GET, "app.example", path).unwrap();
        record.user = Some(user.into());
        (record, lines)
    }

    #[test]
    fn a_line_is_one_json_object_with_utc_time() {
        let (record, lines) = record("/a", "ann", false);
        drop(record);
        let line = String::from_utf8(lines.recv().unwrap()).unwrap();
        let json: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(json["timestamp"], "2023-11-14T22:13:20.123Z");
        assert_eq!((&json["user"], &json["path"], &json["aborted"]), (&"ann".into(), &"/a".into(), &true.into()));
    }

    #[test]
    fn a_user_name_cannot_forge_a_line() {
        for text in [false, true] {
            let (record, lines) = record("/", "a\r\nFAKE \"ok\"\u{1b}[2J", text);
            drop(record);
            let line = String::from_utf8(lines.recv().unwrap()).unwrap();
            assert_eq!(line.matches('\n').count(), 1);
            assert!(!line.contains('\u{1b}') && line.contains("FAKE"));
            assert_eq!(serde_json::from_str::<serde_json::Value>(&line).is_ok(), !text);
        }
    }
}
