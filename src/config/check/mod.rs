//! What the types cannot say: whether the configuration as a whole can work, and what in it is weak.
//!
//! One file per domain, like the schema. Called by `config::mod` once everything is read; reads files
//! only to see whether they are there. Each module's `from_config` may rely on what is checked here.

mod cookie;
mod cookies;
mod identity;
mod listener;
mod login;
mod observe;
mod park;
mod route;
mod rule;
mod session;
mod sign_on;
mod store;
mod syntax;

pub(super) use login::users;

use super::problem::{Mark, Problem, Report};
use super::schema::{Config, Duration};
use super::tree::Node;

/// Checks everything; paths must be resolved and secret files read.
pub(super) fn check(config: &Config, checks: &mut Checks<'_>) {
    listener::check(config, checks);
    session::check(config, checks);
    store::check(config, checks);
    cookie::check(config, checks);
    login::check(&config.login, checks);
    route::check(config, checks);
}

/// Where checks report: key paths in, places out.
#[derive(Debug)]
pub(super) struct Checks<'a> {
    tree: &'a Node,
    report: &'a mut Report,
    warnings: &'a mut Vec<Problem>,
}

impl<'a> Checks<'a> {
    pub(super) fn new(tree: &'a Node, report: &'a mut Report, warnings: &'a mut Vec<Problem>) -> Self {
        Self { tree, report, warnings }
    }

    /// Reports what cannot work; silent where reading has already complained about the key.
    pub(super) fn problem(&mut self, path: impl AsRef<str>, message: impl Into<String>) {
        let (mark, path) = self.tree.find(path.as_ref());
        if !self.report.is_settled(&path) {
            self.report.add(mark, &path, message);
        }
    }

    /// Reports a problem with the file as a whole.
    pub(super) fn problem_at(&mut self, mark: Mark, path: &str, message: &str) {
        if !self.report.is_settled(path) {
            self.report.add(mark, path, message);
        }
    }

    /// Reports what works but is weak.
    pub(super) fn warning(&mut self, path: impl AsRef<str>, message: impl Into<String>) {
        let (mark, path) = self.tree.find(path.as_ref());
        self.warnings.push(Problem::new(self.report.file(), mark, path, message));
    }

    /// Takes over the problems of a file that this one names.
    pub(super) fn append(&mut self, problems: super::Problems) {
        self.report.append(problems);
    }

    fn more_than_zero(&mut self, path: impl AsRef<str>, duration: Duration) {
        if duration.get().is_zero() {
            self.problem(path, "must be more than 0");
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Loaded, parse};

    pub(super) const PUBLIC: &str = "routes: [{ access: public, upstream: http://a }]\n";

    /// The problems of a configuration, without `FILE:LINE:COL: `.
    pub(super) fn problems(text: &str) -> Vec<String> {
        let strip = |line: String| line.split_once(": ").unwrap().1.to_owned();
        let result = parse(text, "c.yaml", &|_| None);
        result.err().map(|all| all.list.iter().map(|one| strip(one.to_string())).collect()).unwrap_or_default()
    }

    /// The warnings of a valid configuration, `path: message`.
    pub(super) fn warnings(text: &str) -> Vec<String> {
        let Loaded { warnings, .. } = parse(text, "c.yaml", &|_| None).unwrap();
        warnings.iter().map(|one| format!("{}: {}", one.path, one.message)).collect()
    }

    /// Asserts that each text alone is refused with a message that contains the words beside it.
    pub(super) fn each_is_refused(cases: &[(&str, &str)]) {
        for (text, words) in cases {
            let all = problems(&format!("{text}\n{}", if text.contains("routes:") { "" } else { PUBLIC }));
            assert!(all.len() == 1 && all[0].contains(words), "{text}: {all:#?}");
        }
    }

    #[test]
    fn checks_run_over_what_could_be_read_and_do_not_repeat() {
        let text = "prefix: 5/\nroutes:\n  - 7\n  - host: a b\n    access: public\n    upstream: { ulr: http://a }\n";
        assert_eq!(
            problems(text),
            [
                "prefix: must begin with `/`",
                "routes[0]: expected a mapping (`key: value` lines), found text",
                "routes[1].host: expected a host name such as wiki.example.com or *.example.com, without port or path",
                "routes[1].upstream.ulr: unknown key; did you mean `url`?",
            ]
        );
    }
}
