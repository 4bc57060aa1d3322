//! The templates: those built in, and the deployer's files that replace them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use minijinja::{Environment, UndefinedBehavior, Value};

/// Why the templates could not be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `templates_dir`, or a file in it, could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// Directory or file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file that replaces nothing, most often because of a typing mistake.
    #[error("{}: replaces no page; known are {known}; a part of your own must begin with `_`", file.display())]
    Unknown {
        /// The file.
        file: PathBuf,
        /// The names that would replace something.
        known: String,
    },
    /// A template could not be compiled or rendered.
    #[error("{}:{line}: {problem}", file.display())]
    Template {
        /// The file.
        file: PathBuf,
        /// Line in the file, from 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
}

impl Error {
    /// Places an engine's error in the file it came from.
    pub(super) fn template(directory: Option<&Path>, error: &minijinja::Error) -> Self {
        // An error inside an included or extended template carries the place in a chain of causes.
        let mut innermost = error;
        while let Some(cause) = std::error::Error::source(innermost).and_then(|cause| cause.downcast_ref()) {
            innermost = cause;
        }
        let name = innermost.name().unwrap_or_default();
        let problem = match innermost.detail() {
            Some(detail) => format!("{}: {detail}", innermost.kind()),
            None => innermost.kind().to_string(),
        };
        let file = directory.map_or_else(|| PathBuf::from(name), |directory| directory.join(name));
        Self::Template { file, line: innermost.line().unwrap_or(1), problem }
    }
}

/// A page with a template of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Page {
    Login,
    Logout,
    Parked,
    SignedOut,
    NoCookies,
    CookieCheck,
    Error,
}

impl Page {
    pub(super) fn file_name(self) -> &'static str {
        match self {
            Self::Login => "login.html",
            Self::Logout => "logout.html",
            Self::Parked => "parked.html",
            Self::SignedOut => "signed_out.html",
            Self::NoCookies => "no_cookies.html",
            Self::CookieCheck => "cookie_check.html",
            Self::Error => "error.html",
        }
    }
}

const BUILT_IN: [(&str, &str); 10] = [
    ("layout.html", include_str!("templates/layout.html")),
    ("style.css", include_str!("templates/style.css")),
    ("login.html", include_str!("templates/login.html")),
    ("logout.html", include_str!("templates/logout.html")),
    ("parked.html", include_str!("templates/parked.html")),
    ("signed_out.html", include_str!("templates/signed_out.html")),
    ("no_cookies.html", include_str!("templates/no_cookies.html")),
    ("cookie_check.html", include_str!("templates/cookie_check.html")),
    ("error.html", include_str!("templates/error.html")),
    ("_cookie_hints.html", include_str!("templates/_cookie_hints.html")),
];

/// Compiles all templates; `title` is `login_title` in each of them.
///
/// SECURITY: names that end in `.html` are escaped automatically, and a variable that does not exist is an error.
pub(super) fn load(title: &str, directory: Option<&Path>) -> Result<Environment<'static>, Error> {
    let mut templates = Environment::new();
    templates.set_undefined_behavior(UndefinedBehavior::Strict);
    templates.add_global("login_title", title.to_owned());
    for (name, text) in BUILT_IN {
        templates.add_template(name, text).map_err(|error| Error::template(None, &error))?;
    }
    for file in directory.map(replacements).transpose()?.unwrap_or_default() {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = fs::read_to_string(&file).map_err(|source| Error::Unreadable { path: file, source })?;
        templates.add_template_owned(name, text).map_err(|error| Error::template(directory, &error))?;
    }
    Ok(templates)
}

/// Renders one page.
pub(super) fn render(templates: &Environment<'_>, page: Page, context: Value) -> Result<String, minijinja::Error> {
    templates.get_template(page.file_name())?.render(context)
}

/// The files of `directory` that replace a built-in template, or are parts of those that do.
fn replacements(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let unreadable = |source| Error::Unreadable { path: directory.to_path_buf(), source };
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let known = BUILT_IN.iter().any(|(built_in, _)| *built_in == name);
        if known || (name.starts_with('_') && name.ends_with(".html")) {
            files.push(file);
        } else if name.ends_with(".html") {
            let known = BUILT_IN.map(|(name, _)| name).join(", ");
            return Err(Error::Unknown { file, known });
        }
    }
    files.sort_unstable();
    Ok(files)
}
