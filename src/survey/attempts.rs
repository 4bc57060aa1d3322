//! Which of the passwords that were sent were right: by what people do next, not by what the app answers.
//!
//! Called by `analysis`. People try again after a wrong password and go to work after a right one; whoever signs out was
//! signed in.

use super::leaving;
use super::sighting::{Journal, Kind, Sighting};

/// Attempts at one and the same door, by their places in the journal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attempts {
    /// At least one.
    pub good: Vec<usize>,
    /// Perhaps none.
    pub bad: Vec<usize>,
    /// They were sent as `Authorization: Basic`.
    pub basic: bool,
}

/// `None` when nobody has sent a password.
pub fn judge(journal: &Journal) -> Option<Attempts> {
    by_form(journal).or_else(|| by_basic(journal))
}

fn by_form(journal: &Journal) -> Option<Attempts> {
    let all: Vec<(usize, &Sighting)> = journal.all().filter(|(_, sighting)| sighting.is_attempt()).collect();
    let (_, door) = *all.last()?;
    let is_same = |one: &Sighting| {
        one.asked.method == door.asked.method && one.asked.path == door.asked.path && names(one) == names(door)
    };
    let here: Vec<(usize, &Sighting)> = all.into_iter().filter(|(_, one)| is_same(one)).collect();
    let until = |index: usize| here.get(index + 1).map_or(usize::MAX, |(place, _)| *place);
    let is_proven = |index: usize| {
        let (from, to) = (here[index].0, until(index));
        journal.all().any(|(place, sighting)| (from + 1..to).contains(&place) && leaving::signs_out(sighting))
    };
    let proven: Vec<usize> = (0..here.len()).filter(|index| is_proven(*index)).collect();
    // Whoever never signed out has stopped trying after the last one.
    let sure = if proven.is_empty() { vec![here.len() - 1] } else { proven };
    let resembles_a_sure_one = |index: usize| sure.iter().any(|good| shape(here[*good].1) == shape(here[index].1));
    let mut found = Attempts::default();
    for (index, (place, _)) in here.iter().enumerate() {
        if sure.contains(&index) {
            found.good.push(*place);
        } else if index < sure[0] || !resembles_a_sure_one(index) {
            found.bad.push(*place);
        }
    }
    Some(found)
}

/// What people type into; what else a form sends may change with every page, such as the choice of a language.
fn names(sighting: &Sighting) -> Vec<&str> {
    let typed = sighting.asked.fields.iter().filter(|field| matches!(field.kind, Kind::Password | Kind::User));
    typed.map(|field| field.name.as_str()).collect()
}

/// What two answers to the same password have in common.
fn shape(sighting: &Sighting) -> (u16, Option<String>, Vec<Vec<u8>>) {
    let cookies = sighting.said.cookies.iter().map(|operation| operation.name().to_vec()).collect();
    (sighting.said.status.as_u16(), sighting.location(), cookies)
}

/// With Basic the app says itself what is wrong: 401.
fn by_basic(journal: &Journal) -> Option<Attempts> {
    let all = journal.all().filter(|(_, sighting)| sighting.asked.basic_user.is_some());
    let (good, bad): (Vec<_>, Vec<_>) = all.partition(|(_, one)| !matches!(one.said.status.as_u16(), 400..));
    let challenged = |path: &str| {
        journal
            .all()
            .any(|(_, one)| one.asked.path == path && !one.asked.has_authorization && one.said.status.as_u16() == 401)
    };
    // SECURITY: only where a stranger is refused does an answer prove that the password was looked at.
    let good: Vec<usize> =
        good.into_iter().filter(|(_, one)| challenged(&one.asked.path)).map(|(place, _)| place).collect();
    let bad = bad.into_iter().filter(|(_, one)| one.said.status.as_u16() == 401).map(|(place, _)| place).collect();
    (!good.is_empty()).then_some(Attempts { good, bad, basic: true })
}
