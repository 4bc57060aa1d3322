//! Configuration: from a YAML file to a [`schema::Config`], or every problem in it at once.
//!
//! The way of a file: bytes (`files`) → marked tree (`yaml`, `tree`) → variables (`env`) → types
//! (`typed`, `recover`) → paths and secrets (`files`, `secret_files`) → sense (`check`). Only `app`,
//! `reload` and `cli` call [`load`]; everybody else is handed a `Config`.

mod accounts;
mod check;
mod env;
mod files;
mod problem;
mod recover;
pub mod schema;
mod secret;
mod secret_files;
mod tree;
mod typed;
pub mod users;
mod yaml;

use std::path::Path;

use check::Checks;
use env::Environment;
use problem::{Mark, Report};
pub use problem::{Problem, Problems};
pub use schema::Config;
pub use secret::Secret;
use tree::{Kind, Node, Scalar};

/// A configuration that can work, and where its parts stood.
#[derive(Debug)]
pub struct Loaded {
    /// Paths are resolved and secrets read: whoever uses it opens no `*_file`.
    pub config: Config,
    /// What works but is weak.
    pub warnings: Vec<Problem>,
    /// For problems that show only later, such as a certificate that does not fit its key.
    pub places: Places,
}

/// Where each key stood in the file.
#[derive(Debug)]
pub struct Places {
    file: String,
    tree: Node,
}

impl Places {
    /// A problem with the key at `path`, such as `listeners[0].tls.certificate`. A key that is not in
    /// the file is placed at the nearest one above it.
    #[must_use]
    pub fn problem(&self, path: &str, message: impl Into<String>) -> Problem {
        let (mark, path) = self.tree.find(path);
        Problem::new(&self.file, mark, path, message)
    }
}

/// Reads the configuration in `path`, at most 1 MiB of it; `env` looks up `${NAME}`.
///
/// # Errors
/// Every problem, or the first 50 and how many more there are.
pub fn load(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Loaded, Problems> {
    inspect_file(path, env).into_result()
}

/// Reads a configuration from `text`. Relative paths in it are relative to the directory of `file_name`.
///
/// # Errors
/// Every problem, or the first 50 and how many more there are.
pub fn parse(text: &str, file_name: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Loaded, Problems> {
    Inspection::of(text, file_name, env).into_result()
}

/// What `cloakroom validate` prints of a configuration: problems, warnings and a summary, one per
/// line; and whether it is free of problems.
#[must_use]
pub fn validate_report(path: &Path) -> (String, bool) {
    let inspection = inspect_file(path, &|name| std::env::var(name).ok());
    let problems = inspection.problems();
    let mut lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let warn = |warning: &Problem| {
        let message = format!("warning: {}", warning.message);
        Problem { message, ..warning.clone() }.to_string()
    };
    lines.extend(inspection.warnings.iter().map(warn));
    let file = path.display();
    let warnings = plural(inspection.warnings.len(), "warning");
    lines.push(match &problems {
        None => format!("{file}: OK, {warnings}"),
        Some(problems) => format!("{file}: {}, {warnings}", plural(problems.count(), "problem")),
    });
    (lines.join("\n"), problems.is_none())
}

/// The JSON Schema of the configuration file, for editors.
#[must_use]
pub fn schema_json() -> serde_json::Value {
    let mut schema = schemars::schema_for!(Config);
    schema.insert("title".into(), "Cloakroom configuration".into());
    schema.to_value()
}

fn plural(count: usize, word: &str) -> String {
    if count == 1 { format!("1 {word}") } else { format!("{count} {word}s") }
}

fn inspect_file(path: &Path, env: Environment<'_>) -> Inspection {
    let name = path.display().to_string();
    match files::read_text(path, files::MAX_CONFIG_BYTES) {
        Ok(text) => Inspection::of(&text, &name, env),
        Err(failure) => {
            let mut report = Report::new(&name);
            report.add(failure.mark(), "", failure.to_string());
            Inspection { report, ..Inspection::empty(&name) }
        }
    }
}

/// Everything there is to say of one configuration file.
struct Inspection {
    config: Config,
    warnings: Vec<Problem>,
    report: Report,
    tree: Node,
}

impl Inspection {
    fn empty(file: &str) -> Self {
        let nothing = Kind::Scalar(Scalar { text: String::new(), plain: true });
        let tree = Node { mark: Mark::START, kind: nothing };
        Self { config: Config::default(), warnings: Vec::new(), report: Report::new(file), tree }
    }

    fn of(text: &str, file: &str, env: Environment<'_>) -> Self {
        let mut inspection = Self::empty(file);
        let Some(tree) = yaml::read(text, &mut inspection.report) else { return inspection };
        inspection.tree = tree;
        env::substitute(&mut inspection.tree, env, &mut inspection.report);
        let config = recover::read::<Config>(&mut inspection.tree, &mut inspection.report);
        inspection.tree.forget_text();
        if let Some(config) = config {
            inspection.config = config;
            inspection.check(files::base_of(Path::new(file)));
        }
        inspection
    }

    fn check(&mut self, base: &Path) {
        resolve_paths(&mut self.config, base);
        let mut checks = Checks::new(&self.tree, &mut self.report, &mut self.warnings);
        secret_files::resolve(&mut self.config, base, &mut checks);
        check::check(&self.config, &mut checks);
        self.warnings.sort_by_key(|warning| (warning.line, warning.column));
    }

    fn problems(&self) -> Option<Problems> {
        self.report.problems()
    }

    fn into_result(self) -> Result<Loaded, Problems> {
        if let Some(problems) = self.problems() {
            return Err(problems);
        }
        let places = Places { file: self.report.file().to_owned(), tree: self.tree };
        Ok(Loaded { config: self.config, warnings: self.warnings, places })
    }
}

/// Makes paths relative to the configuration file's directory; not `data_dir`, which is no part of
/// the configuration and follows the working directory.
fn resolve_paths(config: &mut Config, base: &Path) {
    for tls in config.listeners.iter_mut().filter_map(|listener| listener.tls.as_mut()) {
        files::anchor(&mut tls.certificate, base);
        files::anchor(&mut tls.key, base);
    }
    if let Some(path) = &mut config.store.path {
        files::anchor(path, base);
    }
    let login = &mut config.login;
    let users_file = login.form.as_mut().and_then(|form| form.users_file.as_mut());
    for path in users_file.into_iter().chain(login.templates_dir.as_mut()) {
        files::anchor(path, base);
    }
}

#[cfg(test)]
mod tests;
