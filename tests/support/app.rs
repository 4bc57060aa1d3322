//! An app behind the gateway: a raw socket that records what it is sent and answers what it is told.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Barrier, Mutex};
use std::time::{Duration, Instant};

/// A scripted upstream. Its thread ends with the process.
pub struct App {
    pub address: SocketAddr,
    log: Arc<Mutex<Log>>,
}

#[derive(Default)]
struct Log {
    connections: usize,
    requests: Vec<Seen>,
}

/// One request as the app saw it.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Request line and headers, byte for byte.
    pub head: String,
    pub body: Vec<u8>,
    /// Which connection it came on, from 1.
    pub connection: usize,
}

/// A plain keep-alive answer.
pub fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// What an obeying app answers.
pub const PAGE: &str = "the page";

/// The answer that a request asks for: each of its `X-Answer` lines is a line of the head, `Status: 500` the status.
pub fn obey(seen: &Seen) -> String {
    let (status, lines): (Vec<_>, Vec<_>) =
        seen.all("x-answer").into_iter().partition(|line| line.starts_with("Status: "));
    let status = status.first().map_or("200", |line| &line["Status: ".len()..]);
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    format!("HTTP/1.1 {status} Said\r\n{lines}Content-Length: {}\r\n\r\n{PAGE}", PAGE.len())
}

impl App {
    /// Answers every request with `answer`.
    pub fn answering(answer: impl Into<String>) -> Self {
        let answer = answer.into();
        Self::with(move |_, stream| stream.write_all(answer.as_bytes()).is_ok())
    }

    /// Answers every request with 200 and the head it saw.
    pub fn echoing() -> Self {
        Self::with(|seen, stream| stream.write_all(ok(&seen.head).as_bytes()).is_ok())
    }

    /// Answers [`PAGE`] as each request asks it to: see [`obey`].
    pub fn obeying() -> Self {
        Self::with(|seen, stream| stream.write_all(obey(seen).as_bytes()).is_ok())
    }

    /// The same; those to `/together` are answered when so many of them have come, so that all were opened before any
    /// is over.
    pub fn obeying_together(count: usize) -> Self {
        let together = Barrier::new(count);
        Self::with(move |seen, stream| {
            if seen.line().contains("/together") {
                together.wait();
            }
            stream.write_all(obey(seen).as_bytes()).is_ok()
        })
    }

    /// Calls `answer` for each request; `false` closes the connection.
    pub fn with(answer: impl Fn(&Seen, &mut TcpStream) -> bool + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let log = Arc::new(Mutex::new(Log::default()));
        let (answer, shared) = (Arc::new(answer), Arc::clone(&log));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, log) = (Arc::clone(&answer), Arc::clone(&shared));
                std::thread::spawn(move || serve(stream, &*answer, &log));
            }
        });
        Self { address, log }
    }

    /// Every request so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.log.lock().unwrap().requests.clone()
    }

    /// From here on it has seen nothing.
    pub fn forget(&self) {
        self.log.lock().unwrap().requests.clear();
    }

    /// The last request; panics when there was none.
    pub fn last(&self) -> Seen {
        self.seen().pop().expect("the app saw no request")
    }

    /// How many connections were opened to it.
    pub fn connections(&self) -> usize {
        self.log.lock().unwrap().connections
    }

    /// Waits until `count` connections were opened to it.
    pub fn wait_for_connections(&self, count: usize) {
        let start = Instant::now();
        while self.connections() < count {
            assert!(start.elapsed() < Duration::from_secs(10), "only {} connections", self.connections());
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    /// Waits until the app has seen `count` requests.
    pub fn wait_for(&self, count: usize) -> Vec<Seen> {
        let start = Instant::now();
        while self.seen().len() < count {
            assert!(start.elapsed() < Duration::from_secs(10), "the app saw only {:?}", self.seen());
            std::thread::park_timeout(Duration::from_millis(5));
        }
        self.seen()
    }
}

impl Seen {
    /// The request line.
    pub fn line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }

    /// All values of a header, in order; the name is compared without regard to case.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let headers = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        headers.filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect()
    }

    /// `Session-Data`, decoded; panics when the app was not told.
    pub fn session_data(&self) -> serde_json::Value {
        serde_json::from_str(self.header("session-data").expect("Session-Data")).unwrap()
    }

    /// The one value of a header; panics when there are several.
    pub fn header(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() <= 1, "several lines of {name}: {all:?}");
        all.first().copied()
    }
}

fn serve(mut stream: TcpStream, answer: &dyn Fn(&Seen, &mut TcpStream) -> bool, log: &Mutex<Log>) {
    let connection = {
        let mut log = log.lock().unwrap();
        log.connections += 1;
        log.connections
    };
    stream.set_nodelay(true).unwrap();
    let mut buffer = Vec::new();
    while let Some(seen) = read_request(&mut stream, &mut buffer, connection) {
        log.lock().unwrap().requests.push(seen.clone());
        if !answer(&seen, &mut stream) {
            return;
        }
    }
}

fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>, connection: usize) -> Option<Seen> {
    let end = loop {
        if let Some(at) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
            break at + 4;
        }
        fill(stream, buffer)?;
    };
    let head = String::from_utf8_lossy(&buffer.drain(..end).collect::<Vec<_>>()).into_owned();
    let mut seen = Seen { head, body: Vec::new(), connection };
    if let Some(length) = seen.all("content-length").first() {
        let length: usize = length.parse().unwrap();
        while buffer.len() < length {
            fill(stream, buffer)?;
        }
        seen.body = buffer.drain(..length).collect();
    } else if !seen.all("transfer-encoding").is_empty() {
        loop {
            let Some(at) = buffer.windows(2).position(|w| w == b"\r\n") else {
                fill(stream, buffer)?;
                continue;
            };
            let size = usize::from_str_radix(std::str::from_utf8(&buffer[..at]).unwrap(), 16).unwrap();
            while buffer.len() < at + 2 + size + 2 {
                fill(stream, buffer)?;
            }
            seen.body.extend_from_slice(&buffer[at + 2..at + 2 + size]);
            buffer.drain(..at + 2 + size + 2);
            if size == 0 {
                break;
            }
        }
    }
    Some(seen)
}

fn fill(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<()> {
    let mut piece = [0; 16 * 1024];
    match stream.read(&mut piece) {
        Ok(0) | Err(_) => None,
        Ok(count) => {
            buffer.extend_from_slice(&piece[..count]);
            Some(())
        }
    }
}
