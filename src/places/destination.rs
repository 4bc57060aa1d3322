//! `Destination` of WebDAV's COPY and MOVE (RFC 4918 §10.3): a second place in one request.
//!
//! SECURITY: `pipeline` decides about it as about the target, on the same normalised path, before it goes on.

use super::Places;
use super::url::{self, Mapping};
use crate::http::target::{TargetError, normalise_path};

/// Where a resource is to be copied or moved, as the browser names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// Normalised.
    pub path: String,
    query: String,
    /// Scheme, host and port as written, unless it is a path alone.
    origin: String,
    /// On this very host; else on one that we do not know, though the app may not care.
    pub here: bool,
}

/// Why a `Destination` is refused. The client is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadDestination {
    /// Neither an absolute URL nor a path.
    #[error("the Destination is not a URL or path")]
    Form,
    /// The path can be read in several ways.
    #[error("the Destination's path: {0}")]
    Path(#[from] TargetError),
    /// On another server, or in another app of this one (RFC 4918 §9.8.5: 502).
    #[error("the Destination is not in this app")]
    Elsewhere,
}

impl Destination {
    /// Reads the field of a request with these names.
    ///
    /// # Errors
    /// [`BadDestination::Form`] and [`BadDestination::Path`].
    pub fn read(value: &[u8], mapping: &Mapping) -> Result<Self, BadDestination> {
        let text = std::str::from_utf8(value).map_err(|_| BadDestination::Form)?;
        if url::is_dubious(value) || text.contains('#') {
            return Err(BadDestination::Form);
        }
        let (origin, here, target) = match text {
            _ if text.starts_with("//") => return Err(BadDestination::Form),
            _ if text.starts_with('/') => ("", true, text),
            _ => {
                let (host, https, target) = url::read_absolute(text).ok_or(BadDestination::Form)?;
                (&text[..text.len() - target.len()], mapping.is_public(&host, https), target)
            }
        };
        let (path, query) = target.split_at(target.find('?').unwrap_or(target.len()));
        let path = normalise_path(if path.is_empty() { "/" } else { path })?;
        Ok(Self { path: path.into_owned(), query: query.into(), origin: origin.into(), here })
    }
}

impl Places {
    /// The field for the app, which was sent `sent` as `Host`, where the browser asked for `asked`; `None`: as it was.
    ///
    /// # Errors
    /// [`BadDestination::Elsewhere`] when the place has no name inside.
    pub fn destination_inside(
        &self,
        destination: &Destination,
        sent: &str,
        asked: &str,
    ) -> Result<Option<String>, BadDestination> {
        if self.prefix.is_empty() && (sent == asked || !destination.here) {
            return Ok(None);
        }
        if !destination.here {
            return Err(BadDestination::Elsewhere);
        }
        let path = match self.prefix.is_empty() {
            true => destination.path.clone(),
            false => self.stripped(&destination.path).map_err(|_| BadDestination::Elsewhere)?,
        };
        // As it was written, it is what `X-Forwarded-Host` says. An app that is asked under another name compares with that,
        // and knows of no TLS.
        let origin = match sent == asked || destination.origin.is_empty() {
            true => destination.origin.clone(),
            false => format!("http://{sent}"),
        };
        Ok(Some(format!("{origin}{path}{}", destination.query)))
    }

    /// Whether paths are the same inside and outside.
    #[must_use]
    pub fn strips(&self) -> bool {
        !self.prefix.is_empty()
    }
}
