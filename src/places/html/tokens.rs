//! Where comments and CDATA sections end, piece by piece (HTML standard §13.2.5).

use memchr::memchr;

/// What came last in a comment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Comment {
    /// `<!--`
    #[default]
    Start,
    /// `<!---`
    StartDash,
    Body,
    /// `-`
    Dash,
    /// `--`
    Dashes,
    /// `--!`
    Bang,
}

/// Behind the end of the comment, if it is in this piece.
pub(super) fn after_comment(at: &mut Comment, piece: &[u8]) -> Option<usize> {
    use Comment::{Bang, Body, Dash, Dashes, Start, StartDash};
    let mut next = 0;
    while next < piece.len() {
        if *at == Body {
            next += memchr(b'-', &piece[next..])?;
        }
        *at = match (*at, piece[next]) {
            (Start | StartDash | Dashes | Bang, b'>') => return Some(next + 1),
            (Start, b'-') => StartDash,
            (StartDash | Dash | Dashes, b'-') => Dashes,
            (Body | Bang, b'-') => Dash,
            (Dashes, b'!') => Bang,
            _ => Body,
        };
        next += 1;
    }
    None
}

/// Behind `]]>`, if it is in this piece.
pub(super) fn after_cdata(brackets: &mut u8, piece: &[u8]) -> Option<usize> {
    for (at, byte) in piece.iter().enumerate() {
        *brackets = match byte {
            b'>' if *brackets == 2 => return Some(at + 1),
            b']' => (*brackets + 1).min(2),
            _ => 0,
        };
    }
    None
}
