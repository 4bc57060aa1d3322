//! Places: what an app says of its own address, put right for the browser, and paths as a mounted app knows them.
//!
//! `gateway` compiles one [`Places`] per route; `pipeline` calls it before the app is asked and when it has answered.
//! Nothing here decides who may pass, and a URL of another host is never touched.

mod body;
mod cookie;
mod destination;
mod html;
mod refresh;
mod srcset;
mod url;

use std::sync::Arc;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{StatusCode, Uri};

use crate::config::schema;
use crate::http::client_addr::Client;
use crate::http::lines::HeaderLines;
use crate::http::target::TargetError;

pub use body::Rewritten;
pub use destination::{BadDestination, Destination};
pub use html::Links;
pub use url::Mapping;

const X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
const IDENTITY: HeaderValue = HeaderValue::from_static("identity");

/// Names whose value says where something is. All of them once per response at most, by their nature.
const LOCATIONS: [HeaderName; 3] = [header::LOCATION, header::CONTENT_LOCATION, header::REFRESH];

/// What describes the bytes of a body, and no longer does when links in it are changed.
const OF_THE_BYTES: [HeaderName; 6] = [
    header::CONTENT_LENGTH,
    header::ACCEPT_RANGES,
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
];

/// Encodings in which bytes below 128 may mean something else than in ASCII; pages in them stay as they are.
const NOT_ASCII: [&[u8]; 5] = [b"utf-16", b"utf-32", b"utf-7", b"iso-2022", b"hz-gb"];

/// What one route does about places.
#[derive(Debug, Clone)]
pub struct Places {
    /// Taken off every path: `/wiki`. Empty: nothing is.
    prefix: Arc<str>,
    /// The same for the app to read.
    told: Option<HeaderValue>,
    /// Host and port of the upstream, as the configuration writes them.
    upstream: HeaderValue,
    rewrite: schema::Rewrite,
}

/// What of one answer is to be put right.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wanted {
    location: bool,
    cookies: bool,
    links: bool,
}

impl Wanted {
    /// Whether anything is.
    #[must_use]
    pub fn any(self) -> bool {
        self != Self::default()
    }

    /// Whether links in the body are.
    #[must_use]
    pub fn links(self) -> bool {
        self.links
    }
}

impl Places {
    /// Compiles a route; `upstream` is host and port of its app.
    #[must_use]
    pub fn from_config(route: &schema::Route, upstream: &str) -> Self {
        let path = route.path.as_deref().filter(|_| route.strip_prefix).unwrap_or_default();
        let prefix = path.trim_end_matches('/');
        Self {
            prefix: prefix.into(),
            told: HeaderValue::from_str(prefix).ok().filter(|prefix| !prefix.is_empty()),
            upstream: HeaderValue::from_str(upstream).unwrap_or(HeaderValue::from_static("")),
            rewrite: route.rewrite,
        }
    }

    /// Takes the prefix off a target that routing has found below it: normalised, in origin form.
    ///
    /// # Errors
    /// [`TargetError::Form`] for any other target; none gets here.
    // SECURITY: the path has no empty or dot segments, and the prefix ends at a segment's end, so what is left is as
    // plain as the whole was: the app reads no other path than the one that was decided about (PA-07).
    pub fn strip(&self, uri: &mut Uri) -> Result<(), TargetError> {
        if self.prefix.is_empty() {
            return Ok(());
        }
        let target = uri.path_and_query().map_or("/", PathAndQuery::as_str);
        *uri = Uri::from(PathAndQuery::try_from(self.stripped(target)?).map_err(|_| TargetError::Form)?);
        Ok(())
    }

    fn stripped(&self, target: &str) -> Result<String, TargetError> {
        match target.strip_prefix(&*self.prefix) {
            Some(rest) if rest.starts_with('/') => Ok(rest.to_owned()),
            Some(rest) if rest.is_empty() || rest.starts_with('?') => Ok(format!("/{rest}")),
            _ => Err(TargetError::Form),
        }
    }

    /// A path below the prefix, as the app knows it.
    #[must_use]
    pub fn inside<'p>(&self, path: &'p str) -> &'p str {
        match path.strip_prefix(&*self.prefix) {
            Some(rest) if rest.starts_with('/') => rest,
            _ => "/",
        }
    }

    /// Tells the app what was taken off.
    pub fn write(&self, lines: &mut HeaderLines) {
        if let Some(prefix) = &self.told {
            lines.push(&X_FORWARDED_PREFIX, prefix);
        }
    }

    /// Asks for pages in which links can be found: whole and not compressed.
    pub fn ask(&self, headers: &mut HeaderMap) {
        if self.rewrite.links {
            headers.insert(header::ACCEPT_ENCODING, IDENTITY);
            headers.remove(header::RANGE);
            headers.remove(header::IF_RANGE);
        }
    }

    /// The names of one request: the browser's, by `client` and the `host` it asked for, and the app's, which was
    /// `sent` a `Host` of its own perhaps.
    #[must_use]
    pub fn mapping(&self, client: &Client, host: &HeaderValue, sent: &HeaderValue) -> Mapping {
        Mapping::new(Arc::clone(&self.prefix), client, host, [&self.upstream, sent])
    }

    /// What is to be done to an answer with this head.
    #[must_use]
    pub fn wanted(&self, status: StatusCode, headers: &HeaderMap) -> Wanted {
        // PERF: most answers name no place; one walk over the names costs less than to look one of them up.
        let has = |names: &[HeaderName]| headers.keys().any(|name| names.contains(name));
        let misplaced = |line: &HeaderValue| !self.prefix.is_empty() || cookie::names_a_domain(line.as_bytes());
        Wanted {
            location: self.rewrite.location && has(&LOCATIONS),
            cookies: self.rewrite.cookies
                && has(&[header::SET_COOKIE])
                && headers.get_all(header::SET_COOKIE).iter().any(misplaced),
            links: self.rewrite.links && may_hold_links(status, headers),
        }
    }

    /// Puts right what the head says of places, all but cookies, and of a body whose links will be put right.
    pub fn put_head_right(wanted: Wanted, mapping: &Mapping, status: StatusCode, headers: &mut HeaderMap) {
        if wanted.location {
            put_locations_right(mapping, headers);
        }
        if wanted.links {
            weaken_etag(headers);
            if status != StatusCode::NOT_MODIFIED {
                OF_THE_BYTES.iter().for_each(|name| drop(headers.remove(name)));
            }
        }
    }

    /// Puts cookies right that go to the browser; those that stay with the gateway need it not.
    pub fn put_cookies_right(wanted: Wanted, mapping: &Mapping, headers: &mut HeaderMap) {
        if wanted.cookies
            && let header::Entry::Occupied(mut lines) = headers.entry(header::SET_COOKIE)
        {
            lines.iter_mut().for_each(|line| replace(line, |line| cookie::outside(mapping, line)));
        }
    }
}

fn put_locations_right(mapping: &Mapping, headers: &mut HeaderMap) {
    for name in LOCATIONS {
        let is_refresh = name == header::REFRESH;
        let header::Entry::Occupied(mut lines) = headers.entry(name) else { continue };
        for line in lines.iter_mut() {
            replace(line, |text| match is_refresh {
                true => refresh::outside(text, |url| mapping.outside(url)),
                false => mapping.outside(text),
            });
        }
    }
}

/// What stays as it is keeps its very bytes.
fn replace(line: &mut HeaderValue, new: impl FnOnce(&[u8]) -> Option<Vec<u8>>) {
    if let Some(new) = new(line.as_bytes()).and_then(|new| HeaderValue::from_maybe_shared(bytes::Bytes::from(new)).ok())
    {
        *line = new;
    }
}

/// HTML, whole and readable; a 304 speaks of such a page if it does not say otherwise.
fn may_hold_links(status: StatusCode, headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(header::CONTENT_TYPE) else { return status == StatusCode::NOT_MODIFIED };
    let mut parts = kind.as_bytes().split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    let html = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case(b"text/html"));
    html && status != StatusCode::PARTIAL_CONTENT
        && !status.is_informational()
        && parts.all(is_ascii_charset)
        && headers.get_all(header::CONTENT_ENCODING).iter().all(|coding| coding == IDENTITY)
}

fn is_ascii_charset(parameter: &[u8]) -> bool {
    let lower = parameter.to_ascii_lowercase();
    let charset = lower.strip_prefix(b"charset=").unwrap_or_default();
    let charset = charset.strip_prefix(b"\"").unwrap_or(charset);
    !NOT_ASCII.iter().any(|odd| charset.starts_with(odd))
}

/// The page is no longer byte for byte what the app tagged (RFC 9110 §8.8.1).
fn weaken_etag(headers: &mut HeaderMap) {
    if let Some(tag) = headers.get_mut(header::ETAG) {
        replace(tag, |tag| tag.starts_with(b"\"").then(|| [b"W/", tag].concat()));
    }
}

#[cfg(test)]
mod tests;
