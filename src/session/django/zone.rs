//! Times without an offset: what an app with `USE_TZ = False` writes, and SQLite's `expire_date` in any case.
//!
//! Called by `row`. SECURITY: of two moments that a text can mean, when clocks are set back, the earlier counts: no
//! session lives longer for it. The machine's own zone is never asked.

use std::str::FromStr;

use jiff::civil::DateTime;
use jiff::fmt::temporal::DateTimeParser;
use jiff::tz::TimeZone;

use crate::clock::Timestamp;
use crate::config::schema::moment;

/// Where clocks show an app's time: `TIME_ZONE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone(TimeZone);

/// What is no zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a time zone such as Europe/Berlin, or an offset such as +05:45")]
pub struct NoZone;

/// A time as Python, SQLite and PostgreSQL write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Time {
    /// It names its offset.
    Moment(Timestamp),
    /// It does not.
    Local(LocalTime),
}

/// What clocks show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalTime(DateTime);

impl Zone {
    /// UTC.
    #[must_use]
    pub fn utc() -> Self {
        Self(TimeZone::UTC)
    }

    /// When clocks there show this for the first time; 1970 for what was before.
    #[must_use]
    pub fn moment(&self, LocalTime(time): LocalTime) -> Timestamp {
        let moment = self.0.to_ambiguous_timestamp(time).earlier();
        // Out of range only at the ends of the calendar; nothing lives until then.
        let millis = moment.map_or(0, jiff::Timestamp::as_millisecond);
        Timestamp(u64::try_from(millis).unwrap_or(0))
    }
}

impl FromStr for Zone {
    type Err = NoZone;

    fn from_str(text: &str) -> Result<Self, NoZone> {
        let zone = DateTimeParser::new().parse_time_zone(text).map_err(|_| NoZone)?;
        // No place is farther from UTC.
        let is_somewhere = zone.to_fixed_offset().map_or(true, |offset| offset.seconds().abs() <= 14 * 3600);
        if is_somewhere { Ok(Self(zone)) } else { Err(NoZone) }
    }
}

impl FromStr for Time {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let text = text.trim_ascii().replacen(' ', "T", 1);
        let (_, clock) = text.split_once('T').ok_or(())?;
        if clock.contains(['Z', 'z', '+', '-']) {
            return moment(&text).map(Self::Moment).ok_or(());
        }
        // The parser would pass over the name of a zone in brackets.
        if !clock.chars().all(|c| c.is_ascii_digit() || matches!(c, ':' | '.')) {
            return Err(());
        }
        text.parse().map(|time| Self::Local(LocalTime(time))).map_err(drop)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn moment_in(zone: &str, text: &str) -> String {
        let Ok(Time::Local(time)) = text.parse() else { panic!("{text}") };
        let Timestamp(millis) = zone.parse::<Zone>().unwrap().moment(time);
        jiff::Timestamp::from_millisecond(millis.try_into().unwrap()).unwrap().to_string()
    }

    #[test]
    fn what_clocks_show_is_a_moment_in_a_zone() {
        for (zone, text, moment) in [
            ("UTC", "2026-12-01 10:00:00.25", "2026-12-01T10:00:00.25Z"),
            ("Asia/Kathmandu", "2026-12-01 10:00:00", "2026-12-01T04:15:00Z"),
            ("America/Chicago", "2026-07-01T10:00:00", "2026-07-01T15:00:00Z"),
            ("+05:45", "2026-12-01T10:00:00", "2026-12-01T04:15:00Z"),
            ("-03", "2026-12-01T10:00:00", "2026-12-01T13:00:00Z"),
        ] {
            assert_eq!(moment_in(zone, text), moment, "{text} {zone}");
        }
    }

    #[test]
    fn when_clocks_are_changed_the_earlier_moment_counts() {
        assert_eq!(moment_in("Europe/Berlin", "2026-10-25 02:30:00"), "2026-10-25T00:30:00Z");
        // No clock shows this: an hour is left out.
        assert_eq!(moment_in("Europe/Berlin", "2026-03-29 02:30:00"), "2026-03-29T00:30:00Z");
    }

    #[test]
    fn a_time_that_names_its_offset_needs_no_zone() {
        for text in ["2026-12-01T00:00:00+00:00", "2026-12-01 01:00:00.000001+01:00", " 2026-11-30T19:00:00-05:00 "] {
            assert_eq!(text.parse(), Ok(Time::Moment(Timestamp(1_796_083_200_000))), "{text}");
        }
    }

    #[test]
    fn what_is_no_zone_and_no_time_is_refused() {
        for text in ["", "Berlin", "Mars/Olympus", "+15:00", "-25:00", "5"] {
            assert_eq!(text.parse::<Zone>(), Err(NoZone), "{text}");
        }
        for text in ["", "soon", "2026-12-01", "10:00", "infinity", "2026-13-01T00:00:00", "2026-12-01T00:00:00[UTC]"] {
            assert_eq!(text.parse::<Time>(), Err(()), "{text}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_texts_never_panic(text in ".{0,30}|[0-9TZ :+.-]{0,30}", zone in ".{0,20}|[+-][0-9:]{0,9}") {
            if let (Ok(Time::Local(time)), Ok(zone)) = (text.parse(), zone.parse::<Zone>()) {
                let _ = zone.moment(time);
            }
        }
    }
}
