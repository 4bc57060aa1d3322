//! The `Set-Cookie` lines of the session cookie: one that sets, one that deletes.

use std::time::Duration;

use cookie::{Cookie, SameSite, time};
use http::HeaderValue;

use super::id::Id;
use crate::config::schema;

/// Browsers keep a cookie for 400 days at most (RFC 6265bis §5.5).
const LONGEST_MAX_AGE: Duration = Duration::from_secs(400 * 86_400);

/// Name and attributes of the session cookie.
#[derive(Debug, Clone)]
pub struct SessionCookie {
    name: String,
    domain: Option<String>,
    path: String,
    secure: schema::Secure,
    http_only: bool,
    same_site: SameSite,
    partitioned: bool,
    persistent: bool,
}

impl SessionCookie {
    /// From the configuration, which `config::check` has found consistent.
    #[must_use]
    pub fn from_config(cookie: &schema::Cookie) -> Self {
        Self {
            name: cookie.name.clone(),
            domain: cookie.domain.clone(),
            path: cookie.path.clone(),
            secure: cookie.secure,
            http_only: cookie.http_only,
            same_site: match cookie.same_site {
                schema::SameSite::Strict => SameSite::Strict,
                schema::SameSite::Lax => SameSite::Lax,
                schema::SameSite::None => SameSite::None,
            },
            partitioned: cookie.partitioned,
            persistent: cookie.persistent,
        }
    }

    /// The cookie's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The same cookie under another name.
    #[must_use]
    pub fn renamed(&self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self.clone() }
    }

    /// Gives the browser `id`, to be kept for `left`; `persistent` overrides whether it outlives the browser.
    /// `https`: whether the browser's request was secure.
    #[must_use]
    pub fn set(&self, id: &Id, left: Duration, persistent: Option<bool>, https: bool) -> Option<HeaderValue> {
        self.set_value(id.reveal(), left, persistent, https)
    }

    /// The same with any other value.
    #[must_use]
    pub(super) fn set_value(
        &self,
        value: &str,
        left: Duration,
        persistent: Option<bool>,
        https: bool,
    ) -> Option<HeaderValue> {
        let mut cookie = self.build(value, https);
        if persistent.unwrap_or(self.persistent) {
            let seconds = left.min(LONGEST_MAX_AGE).as_secs();
            cookie.set_max_age(time::Duration::seconds(i64::try_from(seconds).unwrap_or(i64::MAX)));
        }
        line(&cookie)
    }

    /// Takes the cookie away.
    // SECURITY: the same attributes as when it was set, or browsers keep it (CVE-2025-55162).
    #[must_use]
    pub fn delete(&self, https: bool) -> Option<HeaderValue> {
        let mut cookie = self.build("", https);
        cookie.set_max_age(time::Duration::ZERO);
        cookie.set_expires(time::OffsetDateTime::UNIX_EPOCH);
        line(&cookie)
    }

    /// A cookie like ours in all but name, to find out whether the browser keeps such a one.
    #[must_use]
    pub fn probe(&self) -> Self {
        self.renamed(&format!("{}-check", self.name))
    }

    /// Sets the cookie to a word that is no secret, for a minute.
    #[must_use]
    pub fn set_word(&self, word: &str, https: bool) -> Option<HeaderValue> {
        let mut cookie = self.build(word, https);
        cookie.set_max_age(time::Duration::minutes(1));
        line(&cookie)
    }

    /// Whether the cookie is `Secure` whatever the request was.
    #[must_use]
    pub fn needs_https(&self) -> bool {
        self.secure == schema::Secure::Always
    }

    fn build<'a>(&'a self, value: &'a str, https: bool) -> Cookie<'a> {
        let mut cookie = Cookie::new(&*self.name, value);
        cookie.set_path(&*self.path);
        if let Some(domain) = &self.domain {
            cookie.set_domain(&**domain);
        }
        let secure = match self.secure {
            schema::Secure::Always => true,
            schema::Secure::Never => false,
            schema::Secure::Auto => https,
        };
        cookie.set_secure(secure);
        cookie.set_http_only(self.http_only);
        cookie.set_same_site(self.same_site);
        if self.partitioned {
            cookie.set_partitioned(true);
        }
        cookie
    }
}

/// Names, values and attributes are checked at load, so the line is always a header value.
fn line(cookie: &Cookie<'_>) -> Option<HeaderValue> {
    HeaderValue::try_from(cookie.to_string()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(change: impl Fn(&mut schema::Cookie), https: bool) -> (String, String) {
        let mut config = schema::Cookie::default();
        change(&mut config);
        let cookie = SessionCookie::from_config(&config);
        let id = Id::parse(&[b'a'; 32]).unwrap();
        let text = |line: Option<HeaderValue>| line.unwrap().to_str().unwrap().replace(&"a".repeat(32), "ID");
        (text(cookie.set(&id, Duration::from_millis(90_500), None, https)), text(cookie.delete(https)))
    }

    #[test]
    fn the_default_cookie_is_secure_http_only_and_lax() {
        let (set, delete) = lines(|_| {}, false);
        assert_eq!(set, "sessionid=ID; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=90");
        assert_eq!(
            delete,
            "sessionid=; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT"
        );
    }

    #[test]
    fn a_deletion_repeats_every_attribute() {
        let (set, delete) = lines(
            |c| {
                c.domain = Some("example.com".into());
                c.path = "/app".into();
                c.same_site = schema::SameSite::None;
                c.partitioned = true;
            },
            true,
        );
        for attribute in ["Domain=example.com", "Path=/app", "SameSite=None", "Secure", "Partitioned", "HttpOnly"] {
            assert!(set.contains(attribute) && delete.contains(attribute), "{attribute}: {set} / {delete}");
        }
    }

    #[test]
    fn secure_auto_follows_the_request() {
        let auto = |c: &mut schema::Cookie| c.secure = schema::Secure::Auto;
        assert!(lines(auto, true).0.contains("Secure"));
        assert!(!lines(auto, false).0.contains("Secure"));
        assert!(!lines(|c| c.secure = schema::Secure::Never, true).0.contains("Secure"));
    }

    #[test]
    fn a_cookie_that_is_not_persistent_ends_with_the_browser() {
        let (set, delete) = lines(|c| c.persistent = false, true);
        assert!(!set.contains("Max-Age") && !set.contains("Expires"));
        assert!(delete.contains("Max-Age=0"));
    }
}
