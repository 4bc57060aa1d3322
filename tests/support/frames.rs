//! A raw HTTP/2 client: writes exactly the frames it is told to, valid or not.
//!
//! Field blocks are literal and never compressed (RFC 7541 §6.2.2), so every byte a test names is sent.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

use super::tls::{HOST, TlsGateway};

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// Error codes (RFC 9113 §7).
pub const PROTOCOL_ERROR: u32 = 1;
pub const CANCEL: u32 = 8;

/// One connection after its preface and empty SETTINGS.
pub struct Frames {
    tls: StreamOwned<ClientConnection, TcpStream>,
    buffer: Vec<u8>,
}

/// What became of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// A response with this status.
    Status(u16),
    /// The stream alone was ended, with this error code.
    Reset(u32),
    /// The connection was ended, with this error code.
    GoAway(u32),
    /// The connection was cut without a word.
    Closed,
}

impl Fate {
    /// Whether the peer said that the client broke the protocol; which of the two frames says so is its choice.
    pub fn is_protocol_error(self) -> bool {
        matches!(self, Self::Reset(PROTOCOL_ERROR) | Self::GoAway(PROTOCOL_ERROR))
    }
}

/// A frame as it came.
#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frames {
    pub fn connect(server: &TlsGateway) -> Self {
        Self::with_settings(server, &[])
    }

    /// With these SETTINGS, besides a dynamic table of no size: `Fate::Status` is read without one.
    pub fn with_settings(server: &TlsGateway, settings: &[(u16, u32)]) -> Self {
        let stream = TcpStream::connect(server.gateway.address()).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
        let name = ServerName::try_from(HOST).unwrap();
        let tls = ClientConnection::new(server.client_config("h2"), name).unwrap();
        let mut frames = Self { tls: StreamOwned::new(tls, stream), buffer: Vec::new() };
        frames.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        let settings = [&[(1, 0)], settings].concat();
        let payload: Vec<u8> =
            settings.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect();
        frames.frame(SETTINGS, 0, 0, payload);
        frames
    }

    /// Writes one frame; a connection that has ended already is no error here but in the reading.
    pub fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: impl AsRef<[u8]>) -> &mut Self {
        self.write(&encode(kind, flags, stream, payload));
        self
    }

    /// Bytes made by [`encode`], for floods.
    pub fn write(&mut self, bytes: &[u8]) -> bool {
        self.tls.write_all(bytes).and_then(|()| self.tls.flush()).is_ok()
    }

    /// A request without body.
    pub fn get(&mut self, stream: u32, fields: &[(&str, &[u8])]) -> &mut Self {
        self.frame(HEADERS, END_STREAM | END_HEADERS, stream, block(fields))
    }

    /// Reads until `stream` has come to something.
    pub fn fate(&mut self, stream: u32) -> Fate {
        loop {
            let Some(frame) = self.read() else { return Fate::Closed };
            match frame.kind {
                GOAWAY => return Fate::GoAway(number(&frame.payload[4..8])),
                RST_STREAM if frame.stream == stream => return Fate::Reset(number(&frame.payload)),
                HEADERS if frame.stream == stream => return Fate::Status(status(&frame.payload)),
                _ => {}
            }
        }
    }

    /// The next frame, or `None` at the end of the connection. SETTINGS are acknowledged on the way.
    pub fn read(&mut self) -> Option<Frame> {
        let head: [u8; 9] = self.take(9)?.try_into().unwrap();
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let frame = Frame { kind: head[3], flags: head[4], stream: number(&head[5..9]), payload: self.take(length)? };
        if frame.kind == SETTINGS && frame.flags & ACK == 0 {
            self.frame(SETTINGS, ACK, 0, []);
        }
        Some(frame)
    }

    fn take(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < count {
            let mut piece = [0; 16 * 1024];
            match self.tls.read(&mut piece) {
                Ok(0) => return None,
                Ok(read) => self.buffer.extend_from_slice(&piece[..read]),
                Err(error) => {
                    let silent = matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut);
                    assert!(!silent, "nothing came for 20 s");
                    return None;
                }
            }
        }
        Some(self.buffer.drain(..count).collect())
    }
}

/// The bytes of one frame.
pub fn encode(kind: u8, flags: u8, stream: u32, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A field block of literals without indexing.
pub fn block(fields: &[(&str, &[u8])]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| [&[0][..], &literal(name.as_bytes()), &literal(value)].concat()).collect()
}

/// A string literal without Huffman coding (RFC 7541 §5.2).
fn literal(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match u8::try_from(text.len()).ok().filter(|length| *length < 127) {
        Some(length) => out.push(length),
        None => {
            out.push(127);
            let mut rest = text.len() - 127;
            while rest >= 128 {
                out.push(u8::try_from(rest % 128).unwrap() | 128);
                rest /= 128;
            }
            out.push(u8::try_from(rest).unwrap());
        }
    }
    [&out, text].concat()
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes.try_into().unwrap())
}

/// `:status` comes first; it is indexed for the common codes, else a literal.
fn status(block: &[u8]) -> u16 {
    // A change of the table's size comes before the fields.
    let start = block.iter().position(|byte| byte & 0xe0 != 0x20).unwrap();
    match &block[start..] {
        [index @ 0x88..=0x8e, ..] => [200, 204, 206, 304, 400, 404, 500][usize::from(index - 0x88)],
        [0x08 | 0x18 | 0x48, length, rest @ ..] if length & 0x80 != 0 => huffman_digits(rest),
        [0x08 | 0x18 | 0x48, 3, rest @ ..] => std::str::from_utf8(&rest[..3]).unwrap().parse().unwrap(),
        other => panic!("no :status in {other:?}"),
    }
}

/// Three digits in the code of RFC 7541 Appendix B: 0 to 2 in five bits, 3 to 9 in six.
fn huffman_digits(bytes: &[u8]) -> u16 {
    let mut bits = bytes.iter().flat_map(|byte| (0..8).rev().map(move |place| u16::from(byte >> place & 1)));
    let mut take = |count: usize, start: u16| bits.by_ref().take(count).fold(start, |code, bit| code << 1 | bit);
    (0..3).fold(0, |number, _| {
        let code = take(5, 0);
        number * 10 + if code < 3 { code } else { take(1, code) - 0b01_1001 + 3 }
    })
}
