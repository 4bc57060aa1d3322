//! What the guard reports: why a stream was refused, and where in a message its bytes end.
//!
//! `io` acts on both, `deadlines` on the phase, `connection` logs the violation.

/// Why a request was refused on its bytes alone. All of it is the client's doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// RFC 9112 §2.2 lets a recipient accept it; a proxy must not.
    #[error("a line ends in LF without CR")]
    BareLf,
    /// RFC 9112 §2.2.
    #[error("a CR is not followed by LF")]
    LoneCr,
    /// Anything but `METHOD SP TARGET SP HTTP/1.x`.
    #[error("the request line is malformed")]
    RequestLine,
    /// A fragment, white space, a control or a raw 8-bit byte.
    #[error("the request target has a byte that does not belong there")]
    Target,
    /// The request line alone is longer than a whole head may be.
    #[error("the request line is too long")]
    TargetTooLong,
    /// Neither `HTTP/1.0` nor `HTTP/1.1`.
    #[error("the version is neither HTTP/1.0 nor HTTP/1.1")]
    Version,
    /// No colon, an empty name, or white space in or behind it.
    #[error("a field name is malformed")]
    FieldName,
    /// A line that begins with white space (RFC 9112 §5.2).
    #[error("a field is folded over several lines")]
    ObsFold,
    /// RFC 9112 §3.2.
    #[error("an HTTP/1.1 request has no Host field")]
    NoHost,
    /// RFC 9112 §3.2.
    #[error("there is more than one Host field")]
    RepeatedHost,
    /// A sign, a list, a prefix, nothing, or more than fits.
    #[error("Content-Length is not one decimal number")]
    ContentLength,
    /// Even with equal values: the next parser may not merge them.
    #[error("there is more than one Content-Length field")]
    RepeatedContentLength,
    /// Anything but one `chunked`.
    #[error("Transfer-Encoding is not exactly `chunked`")]
    TransferEncoding,
    /// RFC 9112 §6.1.
    #[error("Transfer-Encoding in an HTTP/1.0 request")]
    TransferEncodingIn10,
    /// RFC 9112 §6.1.
    #[error("both Content-Length and Transfer-Encoding")]
    BothLengths,
    /// A chunk size, its line or what follows the data.
    #[error("the chunked framing is broken")]
    Chunk,
}

/// Where in a message the bytes seen so far end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Between two messages.
    Idle,
    /// Inside a head.
    Head,
    /// Inside a body.
    Body,
    /// Behind a head with `Upgrade`: no longer looked at.
    Opaque,
    /// Behind a violation.
    Refused,
}
