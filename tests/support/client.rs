//! A raw HTTP/1.1 client: sends exactly the bytes it is given, reads whole responses.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// How long anything may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// One connection.
pub struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// One response.
#[derive(Debug, Clone)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Whether the body came to its announced end.
    pub complete: bool,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).expect("connect");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: Vec::new() }
    }

    /// Writes bytes; a gateway that has closed already is no error here but in the reading.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let _ = self.stream.write_all(bytes.as_ref());
        self
    }

    /// A second hand on the connection, for bytes that are sent while a response is awaited.
    pub fn clone_for_writing(&self) -> TcpStream {
        self.stream.try_clone().unwrap()
    }

    /// Says that nothing more will be sent.
    pub fn finish(&mut self) -> &mut Self {
        let _ = self.stream.shutdown(Shutdown::Write);
        self
    }

    /// The next response; panics when the connection ends before a whole head is there.
    pub fn response(&mut self) -> Response {
        self.maybe_response(false).expect("a response, but the connection was closed")
    }

    /// The next response to a HEAD request.
    pub fn head_response(&mut self) -> Response {
        self.maybe_response(true).expect("a response, but the connection was closed")
    }

    /// The next response, or `None` when the gateway closes the connection instead.
    pub fn response_or_close(&mut self) -> Option<Response> {
        self.maybe_response(false)
    }

    /// Whether the gateway has closed the connection and sent nothing more.
    pub fn is_closed(&mut self) -> bool {
        self.buffer.is_empty() && !self.fill()
    }

    /// Everything up to the end of the connection, as text.
    pub fn rest(&mut self) -> String {
        while self.fill() {}
        String::from_utf8_lossy(&std::mem::take(&mut self.buffer)).into_owned()
    }

    /// Returns once `bytes` have come; they stay to be read as part of a response.
    pub fn wait_for(&mut self, bytes: &[u8]) {
        while find(&self.buffer, bytes).is_none() {
            assert!(self.fill(), "the connection ended after {:?}", self.buffer);
        }
    }

    /// Exactly `count` bytes, for what follows an upgrade.
    pub fn exact(&mut self, count: usize) -> Vec<u8> {
        while self.buffer.len() < count {
            assert!(self.fill(), "the connection ended after {:?}", self.buffer);
        }
        self.buffer.drain(..count).collect()
    }

    fn maybe_response(&mut self, head_only: bool) -> Option<Response> {
        let end = loop {
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                break at + 4;
            }
            if !self.fill() {
                assert!(self.buffer.is_empty(), "cut short: {:?}", String::from_utf8_lossy(&self.buffer));
                return None;
            }
        };
        let head: Vec<u8> = self.buffer.drain(..end).collect();
        let mut response = parse_head(&head);
        if response.status == 100 {
            return self.maybe_response(head_only);
        }
        let bodiless = head_only || matches!(response.status, 101 | 204 | 304);
        match (bodiless, response.header("transfer-encoding"), response.header("content-length")) {
            (true, ..) => response.complete = true,
            (false, Some(_), _) => self.read_chunks(&mut response),
            (false, None, Some(length)) => self.read_counted(length.parse().unwrap(), &mut response),
            (false, None, None) => {
                while self.fill() {}
                response.body = std::mem::take(&mut self.buffer);
                response.complete = true;
            }
        }
        Some(response)
    }

    fn read_counted(&mut self, length: usize, response: &mut Response) {
        while self.buffer.len() < length && self.fill() {}
        response.complete = self.buffer.len() >= length;
        response.body = self.buffer.drain(..length.min(self.buffer.len())).collect();
    }

    fn read_chunks(&mut self, response: &mut Response) {
        loop {
            let Some(line) = self.line() else { return };
            let size = usize::from_str_radix(line.split(';').next().unwrap().trim(), 16).expect("a chunk size");
            if size == 0 {
                while let Some(line) = self.line() {
                    if line.is_empty() {
                        response.complete = true;
                        return;
                    }
                    let (name, value) = line.split_once(':').expect("a trailer");
                    response.headers.push((format!("trailer:{}", name.to_ascii_lowercase()), value.trim().into()));
                }
                return;
            }
            while self.buffer.len() < size + 2 && self.fill() {}
            if self.buffer.len() < size + 2 {
                response.body.append(&mut self.buffer);
                return;
            }
            response.body.extend(self.buffer.drain(..size));
            self.buffer.drain(..2);
        }
    }

    fn line(&mut self) -> Option<String> {
        loop {
            if let Some(at) = find(&self.buffer, b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..at + 2).collect();
                return Some(String::from_utf8_lossy(&line[..at]).into_owned());
            }
            if !self.fill() {
                return None;
            }
        }
    }

    /// Reads some more; `false` at the end of the connection, however it ended.
    fn fill(&mut self) -> bool {
        let mut piece = [0; 16 * 1024];
        match self.stream.read(&mut piece) {
            Ok(0) => false,
            Ok(count) => {
                self.buffer.extend_from_slice(&piece[..count]);
                true
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("nothing came for {PATIENCE:?}; so far: {:?}", String::from_utf8_lossy(&self.buffer))
            }
            Err(_) => false,
        }
    }
}

impl Response {
    /// A response that came to its end with the connection's: the framing is not looked at.
    pub fn parse(bytes: &[u8]) -> Self {
        let end = find(bytes, b"\r\n\r\n").expect("a whole head") + 4;
        Self { body: bytes[end..].to_vec(), complete: true, ..parse_head(&bytes[..end]) }
    }

    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// All values of a header.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

fn parse_head(head: &[u8]) -> Response {
    let head = String::from_utf8_lossy(head);
    let mut lines = head.trim_end().split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).expect("a status").parse().expect("a number");
    let headers = lines
        .map(|line| line.split_once(':').expect("a header"))
        .map(|(n, v)| (n.to_ascii_lowercase(), v.trim().into()));
    Response { status, headers: headers.collect(), body: Vec::new(), complete: false }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
