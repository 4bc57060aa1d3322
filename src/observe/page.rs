//! A page that is told by its path and part of its query: where an app asks people to sign in.
//!
//! Used by the observer for what strangers may see, and for redirects that tell what has become of a sign-in.
//! SECURITY: many apps have one path for all their pages (`/index.php?page=login`); the path alone opens nothing there.

use form_urlencoded::parse as pairs;

use super::fields;
use crate::http::path_pattern::PathPattern;

/// A path, and parameters that must be there.
#[derive(Debug, Clone)]
pub struct Page {
    path: PathPattern,
    query: Vec<(String, String)>,
    /// No parameter at all may be there.
    is_bare: bool,
}

impl Page {
    /// From `/login?do=login&next={path}`, where `next` may have any value or lack; from `/?` for the page without a
    /// query.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let (path, query) = text.split_once('?').unwrap_or((text, ""));
        let given = pairs(query.as_bytes()).into_owned().filter(|(_, value)| !value.contains("{path}"));
        Self {
            path: PathPattern::parse(path),
            query: given.collect(),
            is_bare: text.ends_with('?') && query.is_empty(),
        }
    }

    /// Whether that is the page, and no other could be meant.
    #[must_use]
    pub fn fits(&self, path: &str, query: Option<&str>) -> bool {
        self.path.fits(path)
            && !(self.is_bare && query.is_some_and(|query| !query.is_empty()))
            && self.query.iter().all(|(name, value)| fields::in_query(query, name).as_ref() == Some(value))
    }

    /// Whether that could be the page: its parameters are there, whatever else is.
    #[must_use]
    pub fn may_be(&self, path: &str, query: Option<&str>) -> bool {
        self.path.fits(path) && self.query.iter().all(|(name, value)| fields::may_be_in_query(query, name, value))
    }

    /// Whether other pages have the same path.
    #[must_use]
    pub fn is_one_of_many(&self) -> bool {
        self.is_bare || !self.query.is_empty()
    }
}
