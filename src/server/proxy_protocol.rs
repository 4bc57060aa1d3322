//! The PROXY protocol, versions 1 and 2: who the client is, said by the load balancer before us.
//!
//! `connection` reads it first where a listener asks for it. The parser takes bytes and says how many
//! more it needs, so not one byte behind the header is consumed (HAProxy, `proxy-protocol.txt`).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt};

/// Why a connection does not begin with a PROXY header.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// The bytes are something else.
    #[error("the connection does not begin with a PROXY header")]
    Missing,
    /// It begins like one, and then does not keep to its grammar.
    #[error("the PROXY header is malformed")]
    Malformed,
    /// A version 2 header larger than anybody sends.
    #[error("the PROXY header is longer than {MAX_V2} bytes")]
    TooLong,
    /// The connection broke.
    #[error("the connection ended within the PROXY header: {0}")]
    Io(#[from] io::Error),
}

/// `PROXY UNKNOWN` and the longest addresses, CRLF included.
const MAX_V1: usize = 107;
/// Enough for all address families and the usual TLVs (TLS name, unique id, authority).
const MAX_V2: usize = 16 + 2048;
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const V1_PREFIX: &[u8] = b"PROXY ";
/// The shortest header there is: `PROXY UNKNOWN` CRLF.
const SHORTEST: usize = 15;

/// What the bytes so far amount to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Parsed {
    /// So many more bytes must be read; never more than the header has.
    Needs(usize),
    /// All of it; the client's address, if it says one.
    Source(Option<SocketAddr>),
}

/// Reads one header and nothing behind it. None: the header leaves the socket's own address standing.
///
/// # Errors
/// [`ProxyError`] when no valid header comes; the connection must then be closed.
pub async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Option<SocketAddr>, ProxyError> {
    let mut header = Vec::with_capacity(MAX_V1);
    loop {
        match parse(&header)? {
            Parsed::Source(source) => return Ok(source),
            Parsed::Needs(more) => {
                let have = header.len();
                header.resize(have + more, 0);
                stream.read_exact(&mut header[have..]).await?;
            }
        }
    }
}

fn parse(header: &[u8]) -> Result<Parsed, ProxyError> {
    let begins = |with: &[u8]| header.iter().zip(with).all(|(have, want)| have == want);
    match () {
        () if header.len() < SHORTEST && (begins(SIGNATURE) || begins(V1_PREFIX)) => {
            Ok(Parsed::Needs(SHORTEST - header.len()))
        }
        () if header.starts_with(SIGNATURE) => parse_v2(header),
        () if header.starts_with(V1_PREFIX) => parse_v1(header),
        () => Err(ProxyError::Missing),
    }
}

fn parse_v1(header: &[u8]) -> Result<Parsed, ProxyError> {
    if !header.contains(&b'\n') {
        return if header.len() < MAX_V1 { Ok(Parsed::Needs(1)) } else { Err(ProxyError::Malformed) };
    }
    let line = std::str::from_utf8(header).map_err(|_| ProxyError::Malformed)?;
    let line = line.strip_suffix("\r\n").ok_or(ProxyError::Malformed)?;
    if line == "PROXY UNKNOWN" || line.starts_with("PROXY UNKNOWN ") {
        return Ok(Parsed::Source(None));
    }
    v1_source(line).map(|source| Parsed::Source(Some(source))).ok_or(ProxyError::Malformed)
}

fn v1_source(line: &str) -> Option<SocketAddr> {
    let mut words = line.split(' ').skip(1);
    let family = words.next()?;
    let (source, target): (IpAddr, IpAddr) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let (port, _): (u16, u16) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let fits = match family {
        "TCP4" => source.is_ipv4() && target.is_ipv4(),
        "TCP6" => source.is_ipv6() && target.is_ipv6(),
        _ => false,
    };
    (fits && words.next().is_none()).then(|| SocketAddr::new(source.to_canonical(), port))
}

fn parse_v2(header: &[u8]) -> Result<Parsed, ProxyError> {
    let Some((fixed, rest)) = header.split_first_chunk::<16>() else { return Ok(Parsed::Needs(16 - header.len())) };
    let length = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if 16 + length > MAX_V2 {
        return Err(ProxyError::TooLong);
    }
    if rest.len() < length {
        return Ok(Parsed::Needs(length - rest.len()));
    }
    match fixed[12] {
        // LOCAL: the balancer's own health check.
        0x20 => Ok(Parsed::Source(None)),
        0x21 => v2_source(fixed[13], rest),
        _ => Err(ProxyError::Malformed),
    }
}

fn v2_source(family: u8, addresses: &[u8]) -> Result<Parsed, ProxyError> {
    let source = match family {
        0x11 => addresses.first_chunk::<12>().map(|a| {
            let port = u16::from_be_bytes([a[8], a[9]]);
            SocketAddr::from((Ipv4Addr::new(a[0], a[1], a[2], a[3]), port))
        }),
        0x21 => addresses.first_chunk::<36>().and_then(|a| {
            let (ip, rest) = a.split_first_chunk::<16>()?;
            let port = u16::from_be_bytes([rest[16], rest[17]]);
            Some(SocketAddr::new(IpAddr::V6(Ipv6Addr::from(*ip)).to_canonical(), port))
        }),
        // Datagrams, Unix sockets and families to come: the socket's own address stands.
        _ => return Ok(Parsed::Source(None)),
    };
    source.map(|source| Parsed::Source(Some(source))).ok_or(ProxyError::Malformed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    async fn source(mut bytes: &[u8]) -> (Result<Option<SocketAddr>, ProxyError>, usize) {
        let result = read(&mut bytes).await;
        (result, bytes.len())
    }

    fn v2(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
        let length = u16::try_from(addresses.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, addresses].concat()
    }

    #[tokio::test]
    async fn version_1_names_the_client_and_leaves_what_follows() {
        let (four, left) = source(b"PROXY TCP4 192.0.2.1 192.0.2.9 4711 443\r\nGET /").await;
        assert_eq!((four.unwrap(), left), (Some("192.0.2.1:4711".parse().unwrap()), 5));
        let (six, _) = source(b"PROXY TCP6 2001:db8::1 ::1 1 2\r\n").await;
        assert_eq!(six.unwrap(), Some("[2001:db8::1]:1".parse().unwrap()));
        let (unknown, left) = source(b"PROXY UNKNOWN\r\nX").await;
        assert_eq!((unknown.unwrap(), left), (None, 1));
    }

    #[tokio::test]
    async fn version_2_names_the_client_and_skips_its_tlvs() {
        let four = [&[192, 0, 2, 1, 192, 0, 2, 9, 0x12, 0x67, 1, 187][..], b"\x04\0\x01x"].concat();
        let (parsed, left) = source(&[v2(0x21, 0x11, &four), b"GET".to_vec()].concat()).await;
        assert_eq!((parsed.unwrap(), left), (Some("192.0.2.1:4711".parse().unwrap()), 3));
        let mut six = [0; 36];
        six[15] = 1;
        assert_eq!(source(&v2(0x21, 0x21, &six)).await.0.unwrap(), Some("[::1]:0".parse().unwrap()));
    }

    #[tokio::test]
    async fn a_local_command_or_an_unknown_family_leaves_the_socket_address() {
        for header in [v2(0x20, 0, b""), v2(0x21, 0x31, &[0; 216]), v2(0x21, 0x12, &[0; 12])] {
            assert_eq!(source(&header).await.0.unwrap(), None);
        }
    }

    #[tokio::test]
    async fn anything_else_is_an_error() {
        for wrong in [
            &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
            b"PROXY TCP4 192.0.2.1 192.0.2.9 4711\r\n",
            b"PROXY TCP4 ::1 ::1 1 1\r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.9 70000 1\r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.9 1 1\n",
            b"PROXY TCP4 192.0.2.1",
            &v2(0x11, 0x11, &[0; 12]),
            &v2(0x21, 0x11, &[0; 11]),
            &v2(0x21, 0x11, &[0; 4000]),
            &[b"PROXY UNKNOWN ".to_vec(), vec![b'x'; 200]].concat(),
        ] {
            assert!(source(wrong).await.0.is_err(), "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_neither_panic_nor_ask_for_too_much(kind in 0..3, tail in prop::collection::vec(any::<u8>(), 0..200)) {
            let prefix: &[u8] = match kind { 0 => b"", 1 => V1_PREFIX, _ => SIGNATURE };
            let header = [prefix, &tail].concat();
            for end in 0..=header.len() {
                if let Ok(Parsed::Needs(more)) = parse(&header[..end]) {
                    prop_assert!(more > 0 && end + more <= MAX_V2);
                }
            }
        }
    }
}
