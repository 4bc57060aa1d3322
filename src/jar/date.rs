//! Dates of `Expires` (RFC 6265bis §5.1.1): every way in which servers of thirty years have written them.

use cookie::time::{Date, Month, Time};

use crate::clock::Timestamp;

const MONTHS: [&[u8]; 12] =
    [b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"];

/// The moment that `text` names; moments before 1970 are the beginning of time. `None` when it is no date.
pub(super) fn parse(text: &[u8]) -> Option<Timestamp> {
    let mut found = Found::default();
    for token in text.split(|byte| is_delimiter(*byte)).filter(|token| !token.is_empty()) {
        found.take(token);
    }
    found.moment()
}

/// What was found so far; each only once.
#[derive(Default)]
struct Found {
    time: Option<Time>,
    day: Option<u8>,
    month: Option<Month>,
    year: Option<i32>,
    /// A time was found that no clock shows.
    impossible: bool,
}

impl Found {
    /// Takes the token for the first thing that is still missing and that it may be.
    fn take(&mut self, token: &[u8]) {
        if self.time.is_none()
            && !self.impossible
            && let Some([hour, minute, second]) = hms(token)
        {
            self.time = Time::from_hms(hour, minute, second).ok();
            self.impossible = self.time.is_none();
        } else if self.day.is_none()
            && let Some((day, _)) = number(token, 1, 2)
        {
            self.day = u8::try_from(day).ok();
        } else if self.month.is_none()
            && let Some(month) = month(token)
        {
            self.month = Some(month);
        } else if self.year.is_none()
            && let Some((year, _)) = number(token, 2, 4)
        {
            self.year = Some(match year {
                0..70 => year + 2000,
                70..100 => year + 1900,
                _ => year,
            });
        }
    }

    fn moment(self) -> Option<Timestamp> {
        let year = self.year.filter(|year| *year >= 1601)?;
        let date = Date::from_calendar_date(year, self.month?, self.day?).ok()?;
        let seconds = date.with_time(self.time?).assume_utc().unix_timestamp();
        Some(Timestamp(u64::try_from(seconds).unwrap_or(0).saturating_mul(1000)))
    }
}

fn is_delimiter(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'/' | b';'..=b'@' | b'['..=b'`' | b'{'..=b'~')
}

/// `1:2:3` and `01:02:03`, and whatever follows if it is no digit.
fn hms(token: &[u8]) -> Option<[u8; 3]> {
    let (hour, rest) = digits(token, 1, 2)?;
    let (minute, rest) = digits(rest.strip_prefix(b":")?, 1, 2)?;
    let (second, _) = number(rest.strip_prefix(b":")?, 1, 2)?;
    Some([hour.try_into().ok()?, minute.try_into().ok()?, second.try_into().ok()?])
}

fn month(token: &[u8]) -> Option<Month> {
    let word = token.get(..3)?;
    let index = MONTHS.iter().position(|month| word.eq_ignore_ascii_case(month))?;
    Month::try_from(u8::try_from(index + 1).ok()?).ok()
}

/// A number of `least` to `most` digits that no further digit follows.
fn number(token: &[u8], least: usize, most: usize) -> Option<(i32, &[u8])> {
    digits(token, least, most).filter(|(_, rest)| !rest.first().is_some_and(u8::is_ascii_digit))
}

fn digits(token: &[u8], least: usize, most: usize) -> Option<(i32, &[u8])> {
    let count = token.iter().take(most).take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = token.split_at(count);
    (count >= least).then(|| (digits.iter().fold(0, |sum, digit| sum * 10 + i32::from(digit - b'0')), rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn dates_are_read_in_every_spelling() {
        // 2026-03-04 05:06:07
        const MOMENT: u64 = 1_772_600_767;
        for text in [
            "Wed, 04 Mar 2026 05:06:07 GMT",
            "Wednesday, 04-Mar-26 05:06:07 GMT",
            "Wed Mar  4 05:06:07 2026",
            "4 mar 2026 5:6:7",
            "05:06:07 4 MARCH 2026",
            "2026 Mar 4 05:06:07",
            "Mar;4;2026;05:06:07",
            "Wed, 04 Mar 2026 05:06:07 +0200",
            "Mon, 04 Mar 2026 05:06:07 GMT",
            "  Wed,04x Mar 2026 05:06:07",
            "04th Mar 2026th 05:06:07.999",
            "04 Mar 2026 05:06:07 31 Dec 1999 23:59:59",
            "\t04-mar-2026\t05:06:07",
            "04 marvellous 26 05:06:07x",
        ] {
            assert_eq!(parse(text.as_bytes()), Some(Timestamp(MOMENT * 1000)), "{text}");
        }
    }

    #[test]
    fn years_of_two_digits_turn_at_seventy() {
        for (text, seconds) in [
            ("1 Jan 70 00:00:00", 0),
            ("1 Jan 00 00:00:00", 946_684_800),
            ("1 Jan 99 00:00:00", 915_148_800),
            ("1 Jan 69 00:00:00", 3_124_224_000),
            ("1 Jan 1969 00:00:00", 0),
            ("1 Jan 1601 00:00:00", 0),
            ("1 Jan 101 00:00:00", -1),
            ("31 Dec 9999 23:59:59", 253_402_300_799_i64),
        ] {
            let moment = u64::try_from(seconds).ok().map(|seconds| Timestamp(seconds * 1000));
            assert_eq!(parse(text.as_bytes()), moment, "{text}");
        }
    }

    #[test]
    fn what_no_calendar_or_clock_shows_is_no_date() {
        for text in [
            "",
            "GMT",
            "Wed, 04 Mar 2026",
            "04 Mar 05:06:07",
            "Mar 2026 05:06:07",
            "04 2026 05:06:07",
            "04 Mar 2026 24:00:00",
            "04 Mar 2026 00:60:00",
            "04 Mar 2026 00:00:60",
            "04 Mar 2026 99:00:00 05:06:07",
            "04 Mar 2026 05:06",
            "04 Mar 2026 005:06:07",
            "04 Mar 2026 05:06:070",
            "00 Mar 2026 05:06:07",
            "32 Mar 2026 05:06:07",
            "30 Feb 2026 05:06:07",
            "29 Feb 2025 05:06:07",
            "31 Apr 2026 05:06:07",
            "04 Mar 1600 05:06:07",
            "004 Mar 20260 05:06:07",
            "04 M\u{e4}r 2026 05:06:07",
            "2026-03-04T05:06:07Z",
            "1772600767",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd(text in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = parse(&text);
        }
    }
}
