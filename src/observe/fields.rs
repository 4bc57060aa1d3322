//! What a person typed into an app's own sign-in form: one field out of a body, whatever its form.
//!
//! Called with the beginning of a body that was kept while it went by. SECURITY: an app that reads another field than
//! we do would let somebody in as one user whom we took for another. So a body in which the field could be read in
//! two ways, by name or by place, has no such field.

use std::borrow::Cow;

use form_urlencoded::parse as pairs;
use http::header::{self, HeaderMap, HeaderValue};
use memchr::memmem;
use regex::bytes::Regex;
use serde_json::Value;

use super::strict_json;

/// More pairs than a sign-in form has.
const MOST_FIELDS: usize = 500;

/// A body that went by, and how its sender says it is to be read.
#[derive(Debug, Clone, Copy)]
pub struct Sent<'a> {
    /// Without the question mark.
    pub query: Option<&'a str>,
    /// Of the request.
    pub headers: &'a HeaderMap,
    /// All of it.
    pub body: &'a [u8],
}

impl Sent<'_> {
    /// The one value of `field`: a name, or for JSON bodies also a pointer (RFC 6901).
    #[must_use]
    pub fn field(&self, field: &str) -> Option<String> {
        let in_the_query = pairs(self.query.unwrap_or_default().as_bytes()).any(|(name, _)| is_like(&name, field));
        if in_the_query {
            return None;
        }
        let (kind, essence) = self.kind()?;
        match essence.as_str() {
            "application/x-www-form-urlencoded" => {
                only(pairs(self.body).map(|(name, value)| (name.into_owned(), value.into_owned())), field)
            }
            "multipart/form-data" => only(parts(self.body, boundary(kind)?)?.into_iter(), field),
            json if json == "application/json" || json.ends_with("+json") => in_json(self.body, field),
            _ => None,
        }
    }

    /// Whether the body leaves the parameter `name` of the query at `value`. SECURITY: where an app looks for it in both,
    /// the body counts more (PHP's `$_REQUEST`); so what some app could read there as that parameter must say the same.
    #[must_use]
    pub fn leaves(&self, name: &str, value: &str) -> bool {
        if self.body.is_empty() {
            return true;
        }
        let says_nothing_else = |pairs: Vec<(String, String)>| {
            let alike = |pair: &&(String, String)| is_like(&pair.0, name);
            let mut alike = pairs.iter().take(MOST_FIELDS).filter(alike);
            let (first, another) = (alike.next(), alike.next());
            pairs.len() <= MOST_FIELDS && another.is_none() && first.is_none_or(|(n, v)| n == name && v == value)
        };
        let Some((kind, essence)) = self.kind() else { return false };
        match essence.as_str() {
            "application/x-www-form-urlencoded" => {
                says_nothing_else(pairs(self.body).into_owned().take(MOST_FIELDS + 1).collect())
            }
            "multipart/form-data" => {
                boundary(kind).and_then(|boundary| parts(self.body, boundary)).is_some_and(says_nothing_else)
            }
            json if json == "application/json" || json.ends_with("+json") => {
                let object = strict_json::parse(self.body).filter(Value::is_object);
                let pairs = |json: Value| json.as_object().into_iter().flatten().map(pair_of).collect();
                object.is_some_and(|json| says_nothing_else(pairs(json)))
            }
            // Who knows what the app makes of it.
            _ => false,
        }
    }

    /// Whether what was typed, or may have been, matches by itself. SECURITY: apps repeat it on the page that says that the
    /// password was wrong, where it would then prove that it was right.
    #[must_use]
    pub fn matches(&self, regex: &Regex) -> bool {
        let decoded = |bytes: &[u8]| {
            let is_meant = |(name, value): (Cow<'_, str>, Cow<'_, str>)| {
                regex.is_match(name.as_bytes()) || regex.is_match(value.as_bytes())
            };
            pairs(bytes).any(is_meant)
        };
        let cookies = self.headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes);
        let mut in_the_head = cookies.chain([self.query.unwrap_or_default().as_bytes()]);
        // No page repeats a whole JSON object, and its own may well look like the one that was sent.
        let in_the_body = || match strict_json::parse(self.body) {
            Some(json) => has_text(&json, &|text| regex.is_match(text.as_bytes())),
            None => regex.is_match(self.body) || decoded(self.body),
        };
        in_the_head.any(|line| regex.is_match(line) || decoded(line)) || in_the_body()
    }

    /// The only `Content-Type`, and without its parameters.
    fn kind(&self) -> Option<(&str, String)> {
        let mut types = self.headers.get_all(header::CONTENT_TYPE).iter();
        let (kind, another) = (types.next()?.to_str().ok()?, types.next());
        let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        another.is_none().then_some((kind, essence))
    }
}

/// Whether one of its texts, or of the names in it, is such a one.
fn has_text(value: &Value, is_meant: &dyn Fn(&str) -> bool) -> bool {
    match value {
        Value::String(text) => is_meant(text),
        Value::Array(items) => items.iter().any(|item| has_text(item, is_meant)),
        Value::Object(map) => map.iter().any(|(name, value)| is_meant(name) || has_text(value, is_meant)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// What is no text is no value of a parameter.
fn pair_of((name, value): (&String, &Value)) -> (String, String) {
    (name.clone(), text(value).unwrap_or_else(|| value.to_string()))
}

impl Sent<'_> {
    /// The names of all its fields, in their order; those of JSON objects and lists inside others as pointers.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let kind = self.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let mut names = Vec::new();
        match essence.as_str() {
            "application/x-www-form-urlencoded" => names.extend(pairs(self.body).map(|(name, _)| name.into_owned())),
            "multipart/form-data" => {
                let parts = boundary(kind).and_then(|boundary| parts(self.body, boundary)).unwrap_or_default();
                names.extend(parts.into_iter().map(|(name, _)| name));
            }
            json if json == "application/json" || json.ends_with("+json") => {
                let json = strict_json::parse(self.body).unwrap_or_default();
                json_names(&json, "", &mut names);
            }
            _ => {}
        }
        names.truncate(MOST_FIELDS);
        names
    }
}

fn json_names(value: &Value, above: &str, names: &mut Vec<String>) {
    let is_list = value.is_array();
    let items = value.as_array().into_iter().flatten().enumerate().map(|(place, item)| (place.to_string(), item));
    let entries = value.as_object().into_iter().flatten().map(|(key, value)| (key.clone(), value));
    for (key, value) in entries.chain(items).take(MOST_FIELDS) {
        let pointer = format!("{above}/{}", key.replace('~', "~0").replace('/', "~1"));
        match value {
            Value::Object(_) | Value::Array(_) => json_names(value, &pointer, names),
            _ if above.is_empty() && !is_list && !key.starts_with('/') => names.push(key),
            _ => names.push(pointer),
        }
    }
}

/// The one value of a parameter of a query.
pub(super) fn in_query(query: Option<&str>, name: &str) -> Option<String> {
    let all = pairs(query.unwrap_or_default().as_bytes());
    only(all.map(|(name, value)| (name.into_owned(), value.into_owned())), name)
}

/// Whether some app could find this value of a parameter in a query.
pub(super) fn may_be_in_query(query: Option<&str>, name: &str, value: &str) -> bool {
    let mut all = pairs(query.unwrap_or_default().as_bytes()).take(MOST_FIELDS + 1).enumerate();
    all.any(|(place, (known, said))| place == MOST_FIELDS || said == value && is_like(&known, name))
}

/// The value of the only pair whose name an app could take for `field`, if it is called just so.
fn only(pairs: impl Iterator<Item = (String, String)>, field: &str) -> Option<String> {
    let mut alike = pairs.take(MOST_FIELDS + 1).enumerate().filter(|(place, (name, _))| {
        // What is beyond is not read, and so might be anything.
        *place == MOST_FIELDS || is_like(name, field)
    });
    match (alike.next(), alike.next()) {
        (Some((_, (name, value))), None) if name == field => Some(value),
        _ => None,
    }
}

/// Whether some app reads `name` as `field`: PHP folds dots and blanks and cuts at brackets, others ignore case.
fn is_like(name: &str, field: &str) -> bool {
    fold(name) == fold(field) || name.split_once('[').is_some_and(|(name, _)| fold(name) == fold(field))
}

fn fold(name: &str) -> String {
    let plain = name.trim().split('\0').next().unwrap_or_default();
    plain.chars().map(|c| if c.is_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect()
}

fn in_json(body: &[u8], field: &str) -> Option<String> {
    let json = strict_json::parse(body)?;
    let found = match field.starts_with('/') {
        true => json.pointer(field),
        false => json.get(field),
    };
    text(found?)
}

/// A name as JSON writes it; numbers name people too.
pub fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// RFC 2046 §5.1.1.
fn boundary(content_type: &str) -> Option<&str> {
    let mut named = content_type.split(';').skip(1).filter_map(|parameter| {
        let (name, value) = parameter.trim().split_once('=')?;
        name.eq_ignore_ascii_case("boundary").then_some(value)
    });
    let (value, another) = (named.next()?, named.next());
    let bare = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
    let plain = !bare.is_empty() && bare.len() <= 70 && !bare.contains(['"', '\\']);
    (plain && another.is_none()).then_some(bare)
}

/// Name and value of each part that is no file (RFC 7578); `None` unless all of it is as browsers write it.
fn parts(body: &[u8], boundary: &str) -> Option<Vec<(String, String)>> {
    let delimiter = format!("\r\n--{boundary}");
    let mut rest = body.strip_prefix(&delimiter.as_bytes()[2..])?;
    let mut parts = Vec::new();
    loop {
        rest = match rest {
            [b'-', b'-', end @ ..] => return matches!(end, b"" | b"\r\n").then_some(parts),
            [b'\r', b'\n', rest @ ..] => rest,
            _ => return None,
        };
        let end = memmem::find(rest, delimiter.as_bytes())?;
        if parts.len() > MOST_FIELDS {
            return None;
        }
        parts.push(part(&rest[..end])?);
        rest = &rest[end + delimiter.len()..];
    }
}

fn part(part: &[u8]) -> Option<(String, String)> {
    let end = memmem::find(part, b"\r\n\r\n")?;
    let head = std::str::from_utf8(&part[..end]).ok()?;
    let mut dispositions = head.split("\r\n").filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-disposition").then_some(value.trim())
    });
    let (disposition, another) = (dispositions.next()?, dispositions.next());
    // Browsers write name, then filename, both in quotes, and a quote in them as %22 (WHATWG HTML §4.10.22.8).
    let quoted = disposition.strip_prefix("form-data; name=\"")?;
    let (name, _) = quoted.split_once('"')?;
    let value = String::from_utf8_lossy(&part[end + 4..]).into_owned();
    (another.is_none() && !name.contains('\\')).then(|| (name.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn field(kind: &str, body: &[u8], query: Option<&str>, field: &str) -> Option<String> {
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_str(kind).unwrap())]);
        Sent { query, headers: &headers, body }.field(field)
    }

    fn names(kind: &str, body: &[u8]) -> Vec<String> {
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_str(kind).unwrap())]);
        Sent { query: None, headers: &headers, body }.names()
    }

    #[test]
    fn all_fields_are_named_in_their_order() {
        assert_eq!(names(FORM, b"b=1&a%5Bx%5D=&b=2"), ["b", "a[x]", "b"]);
        let body = multipart(&[("u", "ann"), ("p", "x")]);
        assert_eq!(names("multipart/form-data; boundary=b", body.as_bytes()), ["u", "p"]);
        let json = br#"{"u": 1, "a": {"b/c": {"d": 2}}, "l": ["x", {"y": 3}]}"#;
        assert_eq!(names("application/json", json), ["u", "/a/b~1c/d", "/l/0", "/l/1/y"]);
        assert!(names("text/plain", b"u=ann").is_empty());
    }

    const FORM: &str = "application/x-www-form-urlencoded";

    fn form(body: &str, name: &str) -> Option<String> {
        field(FORM, body.as_bytes(), None, name)
    }

    fn multipart(parts: &[(&str, &str)]) -> String {
        let part = |(name, value): &(&str, &str)| {
            format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        };
        parts.iter().map(part).collect::<String>() + "--b--\r\n"
    }

    #[test]
    fn the_field_is_found_in_every_kind_of_body() {
        assert_eq!(form("csrf=&username=J%C3%BCr+gen&password=x", "username").as_deref(), Some("Jür gen"));
        assert_eq!(form("auth%5Busername%5D=ann", "auth[username]").as_deref(), Some("ann"));
        let body = multipart(&[("u", "ann"), ("p", "x")]);
        assert_eq!(field("multipart/form-data; boundary=b", body.as_bytes(), None, "u").as_deref(), Some("ann"));
        assert_eq!(field("multipart/form-data; boundary=\"b\"", body.as_bytes(), None, "p").as_deref(), Some("x"));
        let json = br#"{"username": "ann", "deep": {"user": 7}}"#;
        assert_eq!(field("application/json; charset=utf-8", json, None, "username").as_deref(), Some("ann"));
        assert_eq!(field("application/vnd.api+json", json, None, "/deep/user").as_deref(), Some("7"));
    }

    #[test]
    fn a_field_that_could_be_read_in_two_ways_is_no_field() {
        for body in [
            "username=eve&username=ann",
            "username=ann&username=ann",
            "username=ann&USERNAME=eve",
            "username=ann&username%5B%5D=eve",
            "username=ann&username%00=eve",
            "username=ann&+username=eve",
            "user.name=ann",
        ] {
            assert_eq!(form(body, "username"), None, "{body}");
        }
        assert_eq!(form("user_name=ann&user.name=eve", "user_name"), None);
        assert_eq!(field(FORM, b"username=ann", Some("x=1&username=eve"), "username"), None);
        assert_eq!(field(FORM, b"username=ann", Some("x=1"), "username").as_deref(), Some("ann"));
        let twice = multipart(&[("u", "ann"), ("u", "eve")]);
        assert_eq!(field("multipart/form-data; boundary=b", twice.as_bytes(), None, "u"), None);
        assert_eq!(field("application/json", br#"{"u": "ann", "u": "eve"}"#, None, "u"), None);
        assert_eq!(field("application/json", br#"{"u": "ann"} {"u": "eve"}"#, None, "u"), None);
        assert_eq!(field("text/plain", b"username=ann", None, "username"), None);
        let many = "a=1&".repeat(MOST_FIELDS) + "x=1&username=ann";
        assert_eq!(form(&many, "username"), None);
    }

    #[test]
    fn a_multipart_body_is_as_browsers_write_it_or_nothing() {
        let good = multipart(&[("u", "ann")]);
        for bad in [
            good.replace("--b--", "--b"),
            good.replace("\r\n", "\n"),
            format!("preamble\r\n{good}"),
            good.replace("form-data; name=\"u\"", "form-data; name=u"),
            good.replace("form-data; name=\"u\"", "form-data; filename=\"x\"; name=\"u\""),
            good.replace("Content-Disposition", "Content-Disposition: form-data; name=\"v\"\r\nContent-Disposition"),
            good.replace("--b--\r\n", "--b--\r\n--b\r\nContent-Disposition: form-data; name=\"u\"\r\n\r\neve\r\n--b--"),
        ] {
            assert_eq!(field("multipart/form-data; boundary=b", bad.as_bytes(), None, "u"), None, "{bad}");
        }
        assert_eq!(field("multipart/form-data; boundary=b; boundary=c", good.as_bytes(), None, "u"), None);
    }

    #[test]
    fn two_content_types_are_none() {
        let mut headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(FORM))]);
        headers.append(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        assert_eq!(Sent { query: None, headers: &headers, body: b"username=ann" }.field("username"), None);
    }

    proptest! {
        #[test]
        fn arbitrary_bodies_never_panic(body in any::<Vec<u8>>(), text in "(--b\r\n|--b--|Content-Disposition: form-data; name=\"u\"|\r\n|x){0,20}") {
            for kind in [FORM, "multipart/form-data; boundary=b", "application/json"] {
                let _ = (field(kind, &body, None, "u"), field(kind, text.as_bytes(), None, "u"));
                let _ = (names(kind, &body), names(kind, text.as_bytes()));
            }
        }

        #[test]
        fn what_a_browser_sends_is_read_back(value in "[^\\r\\n]{0,30}") {
            let body = form_urlencoded::Serializer::new(String::new()).append_pair("u", &value).finish();
            prop_assert_eq!(form(&body, "u"), Some(value.clone()));
            let body = multipart(&[("x", "y"), ("u", &value)]);
            prop_assert_eq!(field("multipart/form-data; boundary=b", body.as_bytes(), None, "u"), Some(value));
        }
    }
}
