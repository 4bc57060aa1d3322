//! A table for people: aligned columns, no line wider than the terminal.
//!
//! Used by `sessions`. SECURITY: what stands in a cell was sent by a browser or an app: no character of it steers the
//! terminal.

use console::{measure_text_width, truncate_str};

/// Between two columns.
const GAP: &str = "  ";

/// Columns of a width that the first rows decide; the last one takes what it needs.
pub(super) struct Table<const N: usize> {
    widths: [usize; N],
    /// None when nobody looks: then nothing is cut.
    terminal: Option<usize>,
}

impl<const N: usize> Table<N> {
    /// For rows like these.
    pub fn new<'a>(rows: impl IntoIterator<Item = &'a [String; N]>, terminal: Option<usize>) -> Self {
        let mut widths = [0; N];
        for row in rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = measure_text_width(cell).max(*width);
            }
        }
        Self { widths, terminal }
    }

    /// One line, without its end.
    pub fn line(&self, row: &[String; N]) -> String {
        let mut line = String::new();
        for (n, (cell, width)) in row.iter().zip(self.widths).enumerate() {
            let is_last = n + 1 == N;
            let cell = if is_last { cell.into() } else { truncate_str(cell, width, "…") };
            line.push_str(&cell);
            if !is_last {
                line.extend(std::iter::repeat_n(' ', width.saturating_sub(measure_text_width(&cell))));
                line.push_str(GAP);
            }
        }
        let line = line.trim_end();
        match self.terminal {
            Some(width) => truncate_str(line, width, "…").into_owned(),
            None => line.to_owned(),
        }
    }
}

/// How wide standard output is, if somebody looks at it.
pub(super) fn terminal_width() -> Option<usize> {
    let terminal = console::Term::stdout();
    let (_, columns) = terminal.size_checked().filter(|_| terminal.is_term())?;
    Some(usize::from(columns)).filter(|columns| *columns > 0)
}

/// A cell that holds this text, or nothing.
pub(super) fn cell(text: Option<&str>) -> String {
    let text = text.filter(|text| !text.is_empty()).unwrap_or("-");
    text.chars().map(|c| if steers(c) { '\u{fffd}' } else { c }).collect()
}

/// Control characters, and those that turn the direction of what follows.
fn steers(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2028}' | '\u{2029}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row(cells: [&str; 3]) -> [String; 3] {
        cells.map(|text| cell(Some(text)))
    }

    #[test]
    fn columns_are_aligned_whatever_their_script() {
        let rows = [row(["HANDLE", "USER", "AGENT"]), row(["1", "änn", "x"]), row(["22", "衣帽間", "y"])];
        let table = Table::new(&rows, None);
        let lines: Vec<String> = rows.iter().map(|row| table.line(row)).collect();
        assert_eq!(lines, ["HANDLE  USER    AGENT", "1       änn     x", "22      衣帽間  y"]);
        assert_eq!(table.line(&row(["333", "somebody else", ""])), "333     someb…  -");
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let rows = [row(["abc", "def", "a browser with a long name"])];
        assert_eq!(Table::new(&rows, Some(12)).line(&rows[0]), "abc  def  a…");
    }

    #[test]
    fn what_a_browser_sent_does_not_steer_the_terminal() {
        assert_eq!(cell(Some("a\u{1b}[2Jb\r\n\u{202e}c\u{9b}")), "a\u{fffd}[2Jb\u{fffd}\u{fffd}\u{fffd}c\u{fffd}");
        assert_eq!((cell(None), cell(Some(""))), ("-".to_owned(), "-".to_owned()));
    }

    proptest! {
        #[test]
        fn any_text_fits(texts: [String; 3], width in 1..60_usize) {
            let rows = [texts.each_ref().map(|text| cell(Some(text)))];
            let line = Table::new(&rows, Some(width)).line(&rows[0]);
            prop_assert!(measure_text_width(&line) <= width && !line.contains(char::is_control), "{line:?}");
        }
    }
}
