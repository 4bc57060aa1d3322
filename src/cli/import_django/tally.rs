//! What became of the rows: counted, and shown while there are more.
//!
//! Filled by `import_django`. The first line of the text is for scripts too, so its words stay.

use indicatif::ProgressBar;

use super::super::bar::bar;

/// So many unreadable rows are named; after that they are counted.
const MOST_NAMED: usize = 20;

/// What became of a row.
pub(super) enum Outcome {
    Imported { signed_in: bool, changed: bool },
    Known,
    Expired,
    Ended,
    Unreadable(String),
}

/// How many there were.
#[derive(Default)]
pub(super) struct Tally {
    imported: usize,
    signed_in: usize,
    changed: usize,
    known: usize,
    expired: usize,
    ended: usize,
    pub unreadable: usize,
}

impl Tally {
    /// What to say of it at once, if anything.
    fn count(&mut self, outcome: Outcome) -> Option<String> {
        match outcome {
            Outcome::Imported { signed_in, changed } => {
                self.imported += 1;
                self.signed_in += usize::from(signed_in);
                self.changed += usize::from(changed);
            }
            Outcome::Known => self.known += 1,
            Outcome::Expired => self.expired += 1,
            Outcome::Ended => self.ended += 1,
            Outcome::Unreadable(line) => {
                self.unreadable += 1;
                return (self.unreadable <= MOST_NAMED).then_some(line);
            }
        }
        None
    }

    pub fn text(&self, rehearse: bool) -> String {
        let Self { imported, signed_in, changed, known, expired, ended, unreadable } = self;
        let sessions = if *imported == 1 { "session" } else { "sessions" };
        let done = if rehearse { "would be imported" } else { "imported" };
        let mut text = format!(
            "{imported} {sessions} {done} ({signed_in} signed in), {expired} expired, {unreadable} unreadable, {known} already there"
        );
        if *ended > 0 {
            text += &format!("\n{ended} left out: their users are gone, inactive or have a new password since");
        }
        if *changed > 0 {
            text += &format!(
                "\n{changed} of those imported held values that JSON does not have (NaN, huge numbers): changed"
            );
        }
        text
    }
}

/// The count so far, as a bar; drawn on a terminal only.
pub(super) struct Progress {
    tally: Tally,
    bar: ProgressBar,
}

impl Progress {
    pub fn of(total: usize) -> Self {
        Self { tally: Tally::default(), bar: bar(total as u64, "{pos} of {len} sessions") }
    }

    pub fn take(&mut self, outcome: Option<Outcome>) {
        let Some(outcome) = outcome else { return };
        self.bar.inc(1);
        if let Some(line) = self.tally.count(outcome) {
            self.say(&line);
        }
    }

    /// All rows are done.
    pub fn end(self) -> Tally {
        self.bar.finish_and_clear();
        if self.tally.unreadable > MOST_NAMED {
            eprintln!("… and {} more", self.tally.unreadable - MOST_NAMED);
        }
        self.tally
    }

    fn say(&self, line: &str) {
        self.bar.suspend(|| eprintln!("{line}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_reads_as_a_sentence() {
        let mut progress = Progress::of(4);
        for outcome in [
            Outcome::Imported { signed_in: true, changed: false },
            Outcome::Expired,
            Outcome::Unreadable("row 3: why".into()),
            Outcome::Known,
        ] {
            progress.take(Some(outcome));
        }
        let tally = progress.end();
        assert_eq!(tally.text(false), "1 session imported (1 signed in), 1 expired, 1 unreadable, 1 already there");
        assert!(tally.text(true).starts_with("1 session would be imported (1 signed in), "));
    }

    #[test]
    fn what_is_unusual_has_lines_of_its_own() {
        let mut tally = Tally::default();
        tally.count(Outcome::Ended);
        tally.count(Outcome::Imported { signed_in: false, changed: true });
        assert_eq!(tally.text(false).lines().count(), 3);
    }

    #[test]
    fn a_few_unreadable_rows_are_named_and_the_rest_counted() {
        let mut tally = Tally::default();
        let named = (0..50).filter_map(|row| tally.count(Outcome::Unreadable(row.to_string()))).count();
        assert_eq!((named, tally.unreadable), (MOST_NAMED, 50));
    }
}
