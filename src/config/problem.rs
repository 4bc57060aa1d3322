//! What is wrong with a file, where, and how to mend it: all of it at once.
//!
//! Every stage of reading adds to one [`Report`]; callers outside `config` see [`Problem`] and
//! [`Problems`] only. A message never repeats a secret: keys are named, secret values are not.

use std::fmt;

/// How many problems are kept and printed; the rest are only counted.
const MAX_LISTED: usize = 50;
/// How much of a key or a value a message repeats, in characters.
const MAX_QUOTED: usize = 60;

/// A place in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mark {
    /// Line, from 1.
    pub(super) line: usize,
    /// Column in characters, from 1.
    pub(super) column: usize,
}

impl Mark {
    /// The first character of a file.
    pub(super) const START: Self = Self { line: 1, column: 1 };
}

/// One thing that is wrong, or weak.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file, as it was named on the command line or in the configuration.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The key, such as `routes[0].upstream.url`; empty when the file as a whole is meant.
    pub path: String,
    /// What is wrong and what to write instead.
    pub message: String,
}

impl Problem {
    pub(super) fn new(file: &str, mark: Mark, path: impl Into<String>, message: impl Into<String>) -> Self {
        let Mark { line, column } = mark;
        Self { file: file.into(), line, column, path: path.into(), message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, path, message } = self;
        write!(f, "{file}:{line}:{column}: ")?;
        if !path.is_empty() {
            write!(f, "{}: ", one_line(path))?;
        }
        f.write_str(&one_line(message))
    }
}

/// Every problem of one reading, in the order of the file; printed one per line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Problems {
    /// The first of them, at most 50.
    pub list: Vec<Problem>,
    /// How many more there are, at least.
    pub more: usize,
}

impl Problems {
    /// How many there are, at least.
    #[must_use]
    pub fn count(&self) -> usize {
        self.list.len() + self.more
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.list.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{problem}")?;
        }
        if self.more > 0 {
            write!(f, "\nand at least {} more", self.more)?;
        }
        Ok(())
    }
}

/// Collects the problems of one file while it is read.
#[derive(Debug)]
pub(super) struct Report {
    file: String,
    problems: Vec<Problem>,
    more: usize,
    /// Keys that could not be read, and keys a misspelt one probably meant.
    settled: Vec<String>,
}

impl Report {
    pub(super) fn new(file: &str) -> Self {
        Self { file: file.into(), problems: Vec::new(), more: 0, settled: Vec::new() }
    }

    pub(super) fn file(&self) -> &str {
        &self.file
    }

    /// Adds a problem, or only counts it once the list is long enough.
    pub(super) fn add(&mut self, mark: Mark, path: &str, message: impl Into<String>) {
        if self.is_full() {
            return self.count_only();
        }
        self.problems.push(Problem::new(&self.file, mark, path, message));
    }

    /// Adds a problem with something that could not be read, so that checks of it would mislead.
    pub(super) fn reject(&mut self, mark: Mark, path: &str, message: impl Into<String>) {
        self.settle(path);
        self.add(mark, path, message);
    }

    /// Counts a problem that there is no room to describe.
    pub(super) fn count_only(&mut self) {
        self.more += 1;
    }

    /// Takes over the problems of another file.
    pub(super) fn append(&mut self, other: Problems) {
        self.more += other.more;
        for problem in other.list {
            if self.is_full() {
                self.more += 1;
            } else {
                self.problems.push(problem);
            }
        }
    }

    /// Says that a later stage need not speak of this key any more.
    pub(super) fn settle(&mut self, path: &str) {
        self.settled.push(path.to_owned());
    }

    /// Whether reading failed at this key, of one above it or of one below it.
    pub(super) fn is_settled(&self, path: &str) -> bool {
        self.settled.iter().any(|settled| is_within(path, settled) || is_within(settled, path))
    }

    pub(super) fn is_full(&self) -> bool {
        self.problems.len() >= MAX_LISTED
    }

    /// All of them in the order of this file's lines, then those of other files; `None` if there are none.
    pub(super) fn problems(&self) -> Option<Problems> {
        let mut list = self.problems.clone();
        list.sort_by(|a, b| {
            let key = |problem: &'_ Problem| (problem.file != self.file, problem.line, problem.column);
            key(a).cmp(&key(b))
        });
        (!list.is_empty()).then_some(Problems { list, more: self.more })
    }
}

fn is_within(path: &str, above: &str) -> bool {
    path.strip_prefix(above).is_some_and(|rest| above.is_empty() || rest.is_empty() || rest.starts_with(['.', '[']))
}

/// Cuts long text, so that a hostile key cannot fill the terminal.
pub(super) fn shorten(text: &str) -> String {
    match text.char_indices().nth(MAX_QUOTED) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// SECURITY: keys and values come from the file; a line break or an escape sequence in one must not
/// forge a second line or drive the terminal.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { line.extend(c.escape_default()) } else { line.push(c) }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_printed_as_place_key_and_message() {
        let problem = Problem::new("a.yaml", Mark { line: 3, column: 7 }, "routes[0].host", "no port, please");
        assert_eq!(problem.to_string(), "a.yaml:3:7: routes[0].host: no port, please");
    }

    #[test]
    fn control_characters_cannot_start_a_second_line() {
        let problem = Problem::new("a.yaml", Mark::START, "a\nb", "\u{1b}[2J");
        assert_eq!(problem.to_string(), "a.yaml:1:1: a\\nb: \\u{1b}[2J");
    }

    #[test]
    fn problems_beyond_fifty_are_counted_only() {
        let mut report = Report::new("a.yaml");
        (0..60).for_each(|i| report.add(Mark::START, &format!("k{i}"), "unknown"));
        let problems = report.problems().unwrap();
        assert_eq!((problems.list.len(), problems.count()), (50, 60));
        assert!(problems.to_string().ends_with("\nand at least 10 more"));
    }

    #[test]
    fn a_key_is_settled_by_a_problem_above_or_below_it() {
        let mut report = Report::new("a.yaml");
        report.reject(Mark::START, "routes[0].upstream", "x");
        assert!(report.is_settled("routes[0].upstream.url"));
        assert!(report.is_settled("routes[0]"));
        assert!(!report.is_settled("routes[0].upstreams"));
    }
}
