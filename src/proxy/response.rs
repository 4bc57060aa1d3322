//! The head of a response: refused when its framing is ambiguous, else without what is hop-by-hop.
//!
//! `exchange` parses with it, before anything of the response reaches the client. The parser alone takes
//! all that is refused here.

use std::mem::MaybeUninit;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use hyper::ext::ReasonPhrase;

use super::chunked::Chunked;
use super::framing::Framing;
use super::trailers::{self, Announced};
use crate::http::headers::strip_hop_by_hop;

/// Longest idle time of a pooled connection, unless the app says less: servers and firewalls commonly
/// close after 60 s.
const KEEP_SECONDS: u32 = 55;
const MAX_LINES: usize = 100;

/// What was asked, as far as it decides how the answer is read.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Asked {
    /// `HEAD`: the answer has no body, whatever it says.
    pub(super) head: bool,
    /// A 101 is welcome.
    pub(super) upgrade: bool,
}

/// A final response head, fit to be passed on.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) status: StatusCode,
    /// Without hop-by-hop fields, but for `Connection` and `Upgrade` of a 101.
    pub(super) headers: HeaderMap,
    pub(super) reason: Option<ReasonPhrase>,
    pub(super) framing: Framing,
    pub(super) announced: Announced,
    /// Seconds this connection may idle after the response: one less than the app's own timeout. 0 = close.
    pub(super) keep_seconds: u32,
}

impl Head {
    /// The response for the client.
    pub(super) fn with_body<T>(self, body: T) -> Response<T> {
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        if let Some(reason) = self.reason {
            response.extensions_mut().insert(reason);
        }
        response
    }
}

/// Reads a whole head; `None` is an interim one (1xx). Refuses what two readers could understand in two
/// ways (RFC 9112 §6.3, §11.2).
pub(super) fn parse(bytes: &Bytes, asked: Asked) -> Result<Option<Head>, &'static str> {
    let mut lines = [const { MaybeUninit::uninit() }; MAX_LINES];
    let mut parsed = httparse::Response::new(&mut []);
    let status = httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut parsed, bytes, &mut lines);
    match status {
        Ok(httparse::Status::Complete(end)) if end == bytes.len() => {}
        Err(httparse::Error::TooManyHeaders) => return Err("the head has too many headers"),
        _ => return Err("the head is malformed"),
    }
    let status = parsed.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or("the head is malformed")?;
    let switching = status == StatusCode::SWITCHING_PROTOCOLS;
    if switching && !asked.upgrade {
        return Err("101 without having been asked to switch protocols");
    }
    if status.is_informational() && !switching {
        return Ok(None);
    }
    let mut fields = Fields::new(parsed.headers.len(), switching);
    for line in &*parsed.headers {
        fields.take(line.name, line.value, bytes)?;
    }
    fields.into_head(status, reason(status, parsed.reason), parsed.version == Some(0), asked).map(Some)
}

/// The app's own words, if it has any.
fn reason(status: StatusCode, words: Option<&str>) -> Option<ReasonPhrase> {
    let own = words.filter(|words| !words.is_empty() && Some(*words) != status.canonical_reason())?;
    ReasonPhrase::try_from(own.as_bytes()).ok()
}

/// The header lines, sorted out in one pass.
// PERF: hop-by-hop fields are never put into the map, so none has to be found and taken out again.
struct Fields {
    headers: HeaderMap,
    switching: bool,
    chunked: bool,
    length: Option<u64>,
    close: bool,
    /// A `Connection` line names fields.
    nominates: bool,
    trailer: bool,
    keep_alive: Option<u32>,
}

impl Fields {
    fn new(lines: usize, switching: bool) -> Self {
        // Room for what `pipeline` adds.
        let headers = HeaderMap::with_capacity(lines + 4);
        let (chunked, close, nominates, trailer) = Default::default();
        Self { headers, switching, chunked, length: None, close, nominates, trailer, keep_alive: None }
    }

    fn take(&mut self, name: &str, value: &[u8], head: &Bytes) -> Result<(), &'static str> {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        match name.len() {
            17 if is("transfer-encoding") => return self.take_coding(value),
            14 if is("content-length") => return self.take_length(value, head),
            10 if is("connection") => return self.take_connection(value, head),
            10 if is("keep-alive") => {
                self.keep_alive = self.keep_alive.or_else(|| timeout(value));
                return Ok(());
            }
            7 if is("upgrade") && !self.switching => return Ok(()),
            7 if is("trailer") => self.trailer = true,
            2 if is("te") => return Ok(()),
            16 if is("proxy-connection") => return Ok(()),
            18 if is("proxy-authenticate") => return Ok(()),
            19 if is("proxy-authorization") => return Ok(()),
            _ => {}
        }
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| "the head is malformed")?;
        self.append(name, value, head)
    }

    /// PERF: the value is a part of the bytes that were read, not a copy.
    fn append(&mut self, name: HeaderName, value: &[u8], head: &Bytes) -> Result<(), &'static str> {
        let value = HeaderValue::from_maybe_shared(head.slice_ref(value)).map_err(|_| "the head is malformed")?;
        self.headers.append(name, value);
        Ok(())
    }

    // SECURITY: any other spelling or coding is read differently by different servers (FR-26).
    fn take_coding(&mut self, value: &[u8]) -> Result<(), &'static str> {
        if std::mem::replace(&mut self.chunked, true) || !value.eq_ignore_ascii_case(b"chunked") {
            return Err("a Transfer-Encoding other than exactly `chunked`");
        }
        Ok(())
    }

    fn take_length(&mut self, value: &[u8], head: &Bytes) -> Result<(), &'static str> {
        let length = number(value).ok_or("a Content-Length that is not a number")?;
        if self.length.replace(length).is_some() {
            return Err("more than one Content-Length");
        }
        // SECURITY: leading zeros are octal to some readers.
        if value.starts_with(b"0") {
            self.headers.insert(header::CONTENT_LENGTH, length.into());
            return Ok(());
        }
        self.append(header::CONTENT_LENGTH, value, head)
    }

    fn take_connection(&mut self, value: &[u8], head: &Bytes) -> Result<(), &'static str> {
        for option in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            match option {
                _ if option.eq_ignore_ascii_case(b"close") => self.close = true,
                _ if option.eq_ignore_ascii_case(b"keep-alive") => {}
                _ => self.nominates = true,
            }
        }
        if self.nominates || self.switching {
            self.append(header::CONNECTION, value, head)?;
        }
        Ok(())
    }

    fn into_head(
        mut self,
        status: StatusCode,
        reason: Option<ReasonPhrase>,
        http_1_0: bool,
        asked: Asked,
    ) -> Result<Head, &'static str> {
        // SECURITY: which of the two counts is the oldest question of smuggling; HTTP/1.0 knows no coding.
        if self.chunked && self.length.is_some() {
            return Err("both Transfer-Encoding and Content-Length");
        }
        if self.chunked && http_1_0 {
            return Err("Transfer-Encoding in HTTP/1.0");
        }
        if self.nominates && !self.switching {
            strip_hop_by_hop(&mut self.headers);
        }
        let keep_seconds = match self.keep_alive {
            // An HTTP/1.0 app might not take a chunked request body next.
            _ if http_1_0 || self.close => 0,
            Some(seconds) => seconds.saturating_sub(1).min(KEEP_SECONDS),
            None => KEEP_SECONDS,
        };
        let framing = self.framing(status, asked);
        let announced = if self.trailer { trailers::announce(&mut self.headers) } else { None };
        Ok(Head { status, headers: self.headers, reason, framing, announced, keep_seconds })
    }

    fn framing(&self, status: StatusCode, asked: Asked) -> Framing {
        let bodiless = self.switching || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        match self.length {
            _ if asked.head || bodiless => Framing::Length(0),
            Some(length) => Framing::Length(length),
            None if self.chunked => Framing::Chunked(Chunked::default()),
            None => Framing::UntilClose,
        }
    }
}

// SECURITY: digits only; `parse` alone takes a sign.
fn number(value: &[u8]) -> Option<u64> {
    let digits = value.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(value).ok().filter(|_| digits)?.parse().ok()
}

fn timeout(keep_alive: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(keep_alive).ok()?;
    let parameters = text.split(',').filter_map(|parameter| parameter.split_once('='));
    let mut timeouts = parameters.filter(|(name, _)| name.trim().eq_ignore_ascii_case("timeout"));
    timeouts.next().and_then(|(_, seconds)| seconds.trim().parse().ok())
}

#[cfg(test)]
mod tests;
