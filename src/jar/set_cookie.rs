//! From a `Set-Cookie` line to what it does to a jar: RFC 6265bis §5.6 (parsing) and §5.7 (what is refused).
//!
//! Two steps of §5.7 are not taken, for what is replayed by a gateway never travels between sites: `SameSite=None` without
//! `Secure` is not refused (step 19), and no scheme is insecure (steps 13 and 16, see the module above).

use std::time::Duration;

use super::Operation;
use super::attributes::{self, Attribute};
use super::cookie::{Cookie, CookieKey, Parts, SameSite};
use super::date;
use super::place::{Place, is_public_suffix};
use crate::clock::Timestamp;

/// Of name and value together.
const LONGEST_PAIR: usize = 4096;
/// Of a path; for those that are said, the limit of all attributes.
const LONGEST_PATH: usize = 1024;
/// Of a name in a message.
const SHOWN_NAME: usize = 64;
/// No cookie lives longer (§5.5).
const LONGEST_LIFE: Duration = Duration::from_secs(400 * 86_400);

/// A line that browsers would ignore.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the cookie \"{name}\" is refused: {why}")]
pub struct Refused {
    /// Name of the cookie in visible ASCII, its first bytes if it is long; empty for a nameless one. Its value is told to nobody.
    pub name: String,
    /// What is wrong with it.
    pub why: Why,
}

/// Why a browser would ignore a `Set-Cookie` line; all are the app's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// A byte below 0x20 other than tab, or 0x7F.
    #[error("the line has control characters")]
    ControlCharacter,
    /// Neither a name nor a value.
    #[error("it has neither a name nor a value")]
    Empty,
    /// Name and value, or the path.
    #[error("name and value are longer than 4096 bytes, or the path than 1024")]
    TooLong,
    /// None of the hosts lies in the domain it asks for.
    #[error("its Domain is not one that the app is reached under")]
    ForeignDomain,
    /// Its domain is one below which strangers have hosts.
    #[error("its Domain is a public suffix")]
    PublicSuffix,
    /// `__Secure-` or `__Host-` without what that promises.
    #[error("it lacks what the prefix of its name promises")]
    Prefix,
    /// The place has no host.
    #[error("it is not known from which host it came")]
    Nowhere,
}

/// What the line does to the jar of an app that was asked at `place`.
///
/// # Errors
/// [`Refused`] when browsers would ignore the line.
pub fn read(line: &[u8], place: &Place<'_>, now: Timestamp) -> Result<Operation, Refused> {
    let (pair, attributes) = attributes::split(line);
    let (name, value) = attributes::name_and_value(pair);
    let refused = |why| Refused { name: name[..name.len().min(SHOWN_NAME)].escape_ascii().to_string(), why };
    check_pair(line, name, value).map_err(refused)?;
    operation(name, value, &Wishes::gather(attributes), place, now).map_err(refused)
}

fn check_pair(line: &[u8], name: &[u8], value: &[u8]) -> Result<(), Why> {
    if line.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
        return Err(Why::ControlCharacter);
    }
    if name.is_empty() && value.is_empty() {
        return Err(Why::Empty);
    }
    if name.len() + value.len() > LONGEST_PAIR {
        return Err(Why::TooLong);
    }
    Ok(())
}

fn operation(
    name: &[u8],
    value: &[u8],
    wishes: &Wishes<'_>,
    place: &Place<'_>,
    now: Timestamp,
) -> Result<Operation, Why> {
    let domain = domain(wishes, place)?;
    let (domain, host_only) = match &domain {
        Some(domain) if !is_public_suffix(domain) => (&**domain, false),
        // Only for itself: `domain` lets no other pass.
        Some(suffix) => (&**suffix, true),
        None => (place.hosts.first().copied().filter(|host| !host.is_empty()).ok_or(Why::Nowhere)?, true),
    };
    let path = wishes.path.unwrap_or_else(|| place.default_path().as_bytes());
    if path.len() > LONGEST_PATH {
        return Err(Why::TooLong);
    }
    check_prefix(name, value, wishes, host_only && wishes.says_path && path == b"/")?;
    let expires = wishes.expiry(now);
    if expires.is_some_and(|expires| expires <= now) {
        let (name, domain, path) = (name.into(), domain.into(), path.into());
        return Ok(Operation::Delete(CookieKey { name, domain, host_only, path }));
    }
    let Wishes { secure, http_only, partitioned, same_site, .. } = *wishes;
    let parts = Parts { name, value, domain, path, host_only, secure, http_only, partitioned, same_site, expires };
    Cookie::new(&parts).map(Operation::Set).ok_or(Why::TooLong)
}

/// The domain asked for, if the app may ask for it.
fn domain(wishes: &Wishes<'_>, place: &Place<'_>) -> Result<Option<String>, Why> {
    let wish = wishes.domain.unwrap_or_default();
    let wish = wish.strip_prefix(b".").unwrap_or(wish);
    if wish.is_empty() {
        return Ok(None);
    }
    // Not ASCII: refused by its own step (8), and foreign to every host all the same.
    let domain = str::from_utf8(wish).map_err(|_| Why::ForeignDomain)?.to_ascii_lowercase();
    match place.hosts.contains(&&*domain) {
        true => Ok(Some(domain)),
        false if is_public_suffix(&domain) => Err(Why::PublicSuffix),
        false if domain.is_ascii() && place.is_below(domain.as_bytes()) => Ok(Some(domain)),
        false => Err(Why::ForeignDomain),
    }
}

// SECURITY: in any case (as in upper and lower), and in the value of a nameless cookie too: servers that do not mind case,
// or split at the first `=`, would take those for the real ones.
fn check_prefix(name: &[u8], value: &[u8], wishes: &Wishes<'_>, for_this_host: bool) -> Result<(), Why> {
    let begins = |text: &[u8], prefix: &str| {
        text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
    };
    let broken = if name.is_empty() {
        begins(value, "__Secure-") || begins(value, "__Host-")
    } else {
        (begins(name, "__Secure-") && !wishes.secure) || (begins(name, "__Host-") && !(wishes.secure && for_this_host))
    };
    if broken { Err(Why::Prefix) } else { Ok(()) }
}

/// What the attributes say; of several with one name the last.
#[derive(Default)]
struct Wishes<'l> {
    domain: Option<&'l [u8]>,
    /// `None` also when it does not begin with `/`.
    path: Option<&'l [u8]>,
    says_path: bool,
    expires: Option<Timestamp>,
    max_age: Option<MaxAge>,
    secure: bool,
    http_only: bool,
    partitioned: bool,
    same_site: SameSite,
}

/// What `Max-Age` says.
#[derive(Clone, Copy)]
enum MaxAge {
    Over,
    Left(Duration),
}

impl<'l> Wishes<'l> {
    fn gather(attributes: impl Iterator<Item = Attribute<'l>>) -> Self {
        let mut wishes = Self::default();
        for attribute in attributes {
            wishes.take(&attribute);
        }
        wishes
    }

    fn take(&mut self, attribute: &Attribute<'l>) {
        let value = attribute.value;
        if attribute.is("path") {
            self.path = value.starts_with(b"/").then_some(value);
            self.says_path = true;
        } else if attribute.is("domain") {
            self.domain = Some(value);
        } else if attribute.is("max-age") {
            self.max_age = max_age(value).or(self.max_age);
        } else if attribute.is("expires") {
            self.expires = date::parse(value).or(self.expires);
        } else if attribute.is("samesite") {
            self.same_site = same_site(value);
        } else {
            self.secure |= attribute.is("secure");
            self.http_only |= attribute.is("httponly");
            self.partitioned |= attribute.is("partitioned");
        }
    }

    fn expiry(&self, now: Timestamp) -> Option<Timestamp> {
        let wish = match self.max_age {
            Some(MaxAge::Over) => Some(Timestamp(0)),
            Some(MaxAge::Left(life)) => Some(now.plus(life)),
            None => self.expires,
        };
        wish.map(|wish| wish.min(now.plus(LONGEST_LIFE)))
    }
}

fn max_age(value: &[u8]) -> Option<MaxAge> {
    let digits = value.strip_prefix(b"-").unwrap_or(value);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let seconds = digits.iter().fold(0_u64, |sum, digit| sum.saturating_mul(10).saturating_add((digit - b'0').into()));
    let over = seconds == 0 || digits.len() < value.len();
    Some(if over { MaxAge::Over } else { MaxAge::Left(Duration::from_secs(seconds.min(LONGEST_LIFE.as_secs()))) })
}

pub(super) fn same_site(value: &[u8]) -> SameSite {
    [("none", SameSite::None), ("lax", SameSite::Lax), ("strict", SameSite::Strict)]
        .into_iter()
        .find(|(word, _)| value.eq_ignore_ascii_case(word.as_bytes()))
        .map_or(SameSite::Default, |(_, same_site)| same_site)
}
