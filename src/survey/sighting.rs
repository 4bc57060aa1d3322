//! One request and its answer, as far as they are kept, and the journal of all of them.
//!
//! `passage` fills it; all judgements read it. SECURITY: of what people type into fields, only the user's name stays;
//! a field's value is kept where a page of the app holds that very value, and it is a plain word.

use std::collections::HashSet;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, StatusCode};
use serde_json::Value;
use zeroize::Zeroizing;

use super::{page, words};
use crate::jar::Operation;
use crate::observe::{Answer, Credentials, fields::Sent};

const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// Longer ones are no user's name.
const LONGEST_NAME: usize = 200;

/// What was asked.
#[derive(Debug, Clone)]
pub struct Question {
    pub method: Method,
    pub path: String,
    pub query: Option<String>,
    /// Path and query of the page that it came from, if that is one of the app's.
    pub referer: Option<String>,
    /// A browser window goes there, and not a script or a picture.
    pub navigates: bool,
    pub cookie_names: Vec<String>,
    /// Those whose value a header repeats, and that header.
    pub echoed: Vec<(String, String)>,
    /// The port that the browser asked.
    pub port: Option<String>,
    pub has_authorization: bool,
    /// The name in `Authorization: Basic`.
    pub basic_user: Option<String>,
    pub is_websocket: bool,
    pub sends_json: bool,
    pub fields: Vec<Field>,
    /// What was typed beside the password.
    pub user: Option<String>,
}

/// A field that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    pub name: String,
    pub kind: Kind,
}

/// What it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Not empty.
    Password,
    User,
    /// The app's own word.
    Fixed(String),
    Other,
}

/// What was asked, and what the app answered.
#[derive(Debug, Clone)]
pub struct Sighting {
    pub asked: Question,
    pub said: Said,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Said {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub cookies: Vec<Operation>,
    /// All of it.
    pub body: Option<Bytes>,
}

/// What a stranger sees, asked by ourselves when the user is gone.
#[derive(Debug, Clone, Default)]
pub struct Strangers {
    /// Where the user was last: path and query.
    pub last_page: Option<(String, Said)>,
    /// What may be the sign-in page.
    pub sign_in_pages: Vec<(String, Said)>,
}

/// A page asked by ourselves, in between: as its user would, and as a stranger.
#[derive(Debug, Clone)]
pub struct Check {
    /// The place in the journal of the request that it repeats.
    pub place: usize,
    pub with: Said,
    pub without: Said,
}

/// All that was seen, in the order in which it was asked.
#[derive(Debug, Default)]
pub struct Journal {
    places: Vec<Option<Sighting>>,
    pub checks: Vec<Check>,
    password_fields: HashSet<String>,
    words: HashSet<(String, String)>,
}

impl Journal {
    /// Keeps a place for a request that has come.
    pub fn reserve(&mut self) -> usize {
        self.places.push(None);
        self.places.len() - 1
    }

    /// Fills it when the answer is whole.
    pub fn fill(&mut self, place: usize, sighting: Sighting) {
        if sighting.said.is_html() {
            self.learn(&sighting.said.text());
        }
        if let Some(slot) = self.places.get_mut(place) {
            *slot = Some(sighting);
        }
    }

    /// What has an answer, with its place.
    pub fn all(&self) -> impl DoubleEndedIterator<Item = (usize, &Sighting)> {
        self.places.iter().enumerate().filter_map(|(place, sighting)| Some((place, sighting.as_ref()?)))
    }

    /// What stands at a place that has an answer.
    pub fn at(&self, place: usize) -> Option<&Sighting> {
        self.places.get(place)?.as_ref()
    }

    fn learn(&mut self, html: &str) {
        for input in page::inputs(html) {
            // After a wrong password many apps show again what was typed, even in hidden fields.
            let is_the_apps = match input.kind.as_str() {
                "hidden" => !words::is_user(&input.name) && !words::is_token(&input.name),
                "submit" => true,
                "password" => {
                    self.password_fields.insert(input.name);
                    continue;
                }
                _ => false,
            };
            if is_the_apps && words::is_place(&input.value) {
                self.words.insert((input.name, input.value));
            }
        }
    }

    /// Reads a request: its head, and its body if that was short.
    pub fn read(&self, parts: &Parts, is_websocket: bool, body: &[u8]) -> Question {
        let headers = &parts.headers;
        let sent = Sent { query: None, headers, body };
        let names = sent.names();
        // SECURITY: passwords among them, so they are wiped.
        let values: Vec<Typed> = names.iter().map(|name| sent.field(name).unwrap_or_default().into()).collect();
        let mut fields: Vec<Field> =
            names.into_iter().zip(&values).map(|(name, value)| self.field(name, value)).collect();
        let user = match positional(&fields, &values) {
            Some((user, password)) => {
                fields[password].kind = Kind::Password;
                user
            }
            None => user_field(&fields, &values),
        };
        if let Some(at) = user {
            fields[at].kind = Kind::User;
        }
        let basic_user = Credentials::read(headers).map(|credentials| credentials.user);
        let lines = headers.get_all(header::COOKIE).iter();
        Question {
            method: parts.method.clone(),
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().map(str::to_owned),
            referer: referer(headers),
            navigates: navigates(headers),
            cookie_names: lines.flat_map(cookie_names).collect(),
            echoed: echoed(headers),
            port: port(headers),
            has_authorization: headers.contains_key(header::AUTHORIZATION),
            user: user.map(|at| values[at].to_string()).or_else(|| basic_user.clone()),
            basic_user,
            is_websocket,
            sends_json: essence(headers).is_some_and(|kind| kind.ends_with("json")),
            fields,
        }
    }

    fn field(&self, name: String, value: &str) -> Field {
        let kind = if self.password_fields.contains(&name) || words::is_password(&name) {
            if value.is_empty() { Kind::Other } else { Kind::Password }
        } else if self.words.contains(&(name.clone(), value.to_owned())) || is_command(&name, value) {
            Kind::Fixed(value.to_owned())
        } else {
            Kind::Other
        };
        Field { name, kind }
    }
}

/// What scripts send to say what they want: `action=logout`, `"method": "auth.login"`.
fn is_command(name: &str, value: &str) -> bool {
    let is_free = !words::is_user(name) && !words::is_token(name) && !words::is_way_back(name);
    is_free && words::is_place(value) && (words::is_way_out(value) || words::is_way_in(value))
}

/// What was typed into a field; nothing where it could be read in two ways.
type Typed = Zeroizing<String>;

/// A call that signs in by its name, and sends what people type by place alone: `{"method": "auth.login", "params":
/// ["ann", "..."]}`. The last text is the password, and the one before it the name, if there is one.
fn positional(fields: &[Field], values: &[Typed]) -> Option<(Option<usize>, usize)> {
    let signs_in = |field: &Field| matches!(&field.kind, Kind::Fixed(word) if words::is_way_in(word));
    if !fields.iter().any(signs_in) || fields.iter().any(|field| field.kind == Kind::Password) {
        return None;
    }
    let is_placed = |at: &usize| {
        let (_, place) = fields[*at].name.rsplit_once('/').unwrap_or_default();
        place.parse::<usize>().is_ok() && !values[*at].is_empty()
    };
    let password = (0..fields.len()).rev().find(is_placed)?;
    Some((password.checked_sub(1).filter(is_placed), password))
}

/// The field that names the user: the one called so, or else the one before the password.
fn user_field(fields: &[Field], values: &[Typed]) -> Option<usize> {
    let password = fields.iter().position(|field| field.kind == Kind::Password)?;
    let may_name = |at: &usize| fields[*at].kind == Kind::Other && (1..=LONGEST_NAME).contains(&values[*at].len());
    let distance = |at: &usize| at.abs_diff(password);
    let called_so =
        (0..fields.len()).filter(may_name).filter(|at| words::is_user(&fields[*at].name)).min_by_key(distance);
    let is_no_name = |name: &str| words::is_token(name) || words::is_setting(name);
    let before = || password.checked_sub(1).filter(may_name).filter(|at| !is_no_name(&fields[*at].name));
    called_so.or_else(before)
}

impl Question {
    /// Path and query.
    pub fn target(&self) -> String {
        self.query.as_ref().map_or_else(|| self.path.clone(), |query| format!("{}?{query}", self.path))
    }
}

impl Sighting {
    /// The answer as the rules of `observe` read it.
    pub fn answer(&self) -> Answer<'_> {
        self.said.answer()
    }

    /// A request that offers one password.
    pub fn is_attempt(&self) -> bool {
        let passwords = self.asked.fields.iter().filter(|field| field.kind == Kind::Password);
        self.asked.method != Method::GET && passwords.count() == 1
    }

    /// The same, or `Authorization: Basic`.
    pub fn offers_a_password(&self) -> bool {
        self.is_attempt() || self.asked.basic_user.is_some()
    }

    /// A call by its name, as JSON-RPC has them.
    pub fn is_call(&self) -> bool {
        let names_it = |field: &Field| field.name == "method" && matches!(field.kind, Kind::Fixed(_));
        self.asked.sends_json && self.asked.fields.iter().any(names_it)
    }

    /// Where the answer leads, without the query.
    pub fn location(&self) -> Option<String> {
        self.answer().location(&self.asked.path)
    }

    /// Where it went, if the query holds plain words only.
    pub fn plain_target(&self) -> Option<String> {
        let query = self.asked.query.as_deref().unwrap_or_default();
        let all = form_urlencoded::parse(query.as_bytes()).count();
        match (all, self.query_words().len() == all) {
            (0, _) => Some(self.asked.path.clone()),
            (_, true) => Some(format!("{}?{query}", self.asked.path)),
            (_, false) => None,
        }
    }

    /// Parameters of the query whose values are plain words.
    pub fn query_words(&self) -> Vec<(String, String)> {
        let pairs = form_urlencoded::parse(self.asked.query.as_deref().unwrap_or_default().as_bytes());
        let leads_out = |name: &str, value: &str| words::is_way_out(name) && value.len() <= 2;
        let plain =
            pairs.filter(|(name, value)| (words::is_place(value) && !words::is_token(name)) || leads_out(name, value));
        plain.map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
    }

    /// Fields that hold the app's own words.
    pub fn fixed_fields(&self) -> Vec<(String, String)> {
        let fixed = |field: &Field| match &field.kind {
            Kind::Fixed(word) => Some((field.name.clone(), word.clone())),
            _ => None,
        };
        self.asked.fields.iter().filter_map(fixed).collect()
    }
}

impl Said {
    pub fn answer(&self) -> Answer<'_> {
        Answer { status: self.status, headers: &self.headers, cookies: &self.cookies, body: self.body.as_deref() }
    }

    /// Whether a browser asks for a password by itself.
    pub fn has_challenge(&self) -> bool {
        self.headers.contains_key(header::WWW_AUTHENTICATE)
    }

    pub fn is_html(&self) -> bool {
        essence(&self.headers).is_some_and(|kind| kind.contains("html"))
            || (essence(&self.headers).is_none() && self.text().trim_start().starts_with('<'))
    }

    pub fn json(&self) -> Option<Value> {
        serde_json::from_slice(self.body.as_deref()?).ok().filter(|json: &Value| json.is_object() || json.is_array())
    }

    /// Script, style, picture or font.
    pub fn is_asset(&self) -> bool {
        let asset = |kind: &str| {
            kind.contains("javascript") || kind.contains("font") || kind == "text/css" || kind.starts_with("image/")
        };
        essence(&self.headers).is_some_and(|kind| asset(&kind))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.body.as_deref().unwrap_or_default()).into_owned()
    }

    pub fn asks_for_a_password(&self) -> bool {
        self.is_html() && page::inputs(&self.text()).iter().any(|input| input.kind == "password")
    }
}

fn cookie_names(line: &HeaderValue) -> Vec<String> {
    let names = line.as_bytes().split(|byte| *byte == b';').filter_map(|pair| pair.split(|byte| *byte == b'=').next());
    names.map(|name| String::from_utf8_lossy(name.trim_ascii()).into_owned()).filter(|name| !name.is_empty()).collect()
}

/// Shorter values may be alike by chance.
const SHORTEST_TOKEN: usize = 8;

/// Cookies that a script has read, and sends back as a header.
fn echoed(headers: &HeaderMap) -> Vec<(String, String)> {
    let lines = headers.get_all(header::COOKIE).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
    let mut found = Vec::new();
    for pair in lines {
        let Some(at) = pair.iter().position(|byte| *byte == b'=') else { continue };
        let (name, value) = (pair[..at].trim_ascii(), pair[at + 1..].trim_ascii());
        let plain: Vec<u8> = percent_encoding::percent_decode(value).collect();
        let repeats = |(header, line): &(&HeaderName, &HeaderValue)| {
            *header != header::COOKIE && (line.as_bytes() == value || line.as_bytes() == plain)
        };
        if let Some((header, _)) = headers.iter().find(repeats).filter(|_| value.len() >= SHORTEST_TOKEN) {
            found.push((String::from_utf8_lossy(name).into_owned(), header.to_string()));
        }
    }
    found
}

fn port(headers: &HeaderMap) -> Option<String> {
    let host = headers.get(header::HOST)?.to_str().ok()?;
    let (_, port) = host.rsplit_once(':')?;
    port.bytes().all(|byte| byte.is_ascii_digit()).then(|| port.to_owned())
}

fn essence(headers: &HeaderMap) -> Option<String> {
    let kind = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

fn referer(headers: &HeaderMap) -> Option<String> {
    let from: http::Uri = headers.get(header::REFERER)?.to_str().ok()?.parse().ok()?;
    let host = headers.get(header::HOST)?.to_str().ok()?;
    let same = from.authority().is_some_and(|authority| authority.as_str() == host);
    from.path_and_query().filter(|_| same).map(ToString::to_string)
}

fn navigates(headers: &HeaderMap) -> bool {
    let accepts_html = |accept: &HeaderValue| accept.to_str().is_ok_and(|accept| accept.contains("text/html"));
    match headers.get(SEC_FETCH_MODE) {
        Some(mode) => mode == "navigate",
        None => headers.get_all(header::ACCEPT).iter().any(accepts_html),
    }
}
