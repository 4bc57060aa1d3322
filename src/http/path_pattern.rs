//! A path in the configuration that means one path, or with `*` at its end all that begin so.
//!
//! Compared with the one normalised path that was decided about. Used by rules and by observed logins.

/// `/login`, or `/login*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathPattern {
    /// This path.
    Exact(Box<str>),
    /// All that begin with this.
    Beginning(Box<str>),
}

impl PathPattern {
    /// Reads what `config::check` has passed.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text.strip_suffix('*') {
            Some(beginning) => Self::Beginning(beginning.into()),
            None => Self::Exact(text.into()),
        }
    }

    /// Whether `path` is meant.
    #[must_use]
    pub fn fits(&self, path: &str) -> bool {
        match self {
            Self::Exact(exact) => **exact == *path,
            Self::Beginning(beginning) => path.starts_with(&**beginning),
        }
    }

    /// The path itself, or what all begin with.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Exact(text) | Self::Beginning(text) => text,
        }
    }
}
