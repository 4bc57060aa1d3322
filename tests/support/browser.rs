//! A client that behaves as a browser does: keeps cookies, says that it navigates, fills in forms.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::{Client, Response};

/// One browser at one gateway.
pub struct Browser {
    pub(super) address: SocketAddr,
    /// The `Host` it asks for.
    pub host: String,
    /// Name → value; attributes are checked by tests of their own.
    pub jar: BTreeMap<String, String>,
}

impl Browser {
    pub fn at(address: SocketAddr) -> Self {
        Self { address, host: address.to_string(), jar: BTreeMap::new() }
    }

    /// One that holds this session id, and nothing else.
    pub fn holding(address: SocketAddr, id: &str) -> Self {
        let mut browser = Self::at(address);
        browser.jar.insert("sessionid".into(), id.into());
        browser
    }

    /// The session cookie's value.
    pub fn session_id(&self) -> Option<String> {
        self.jar.get("sessionid").cloned()
    }

    /// Navigates to `path`; redirects are not followed.
    pub fn get(&mut self, path: &str) -> Response {
        self.request("GET", path, &[("Accept", "text/html"), ("Sec-Fetch-Mode", "navigate")], b"")
    }

    /// Navigates to `path`, where an obeying app answers with these lines: see [`super::obey`].
    pub fn answered(&mut self, path: &str, lines: &[&str]) -> Response {
        let mut headers = vec![("Accept", "text/html"), ("Sec-Fetch-Mode", "navigate")];
        headers.extend(lines.iter().map(|line| ("X-Answer", *line)));
        self.request("GET", path, &headers, b"")
    }

    /// What a script on a page would send.
    pub fn fetch(&mut self, path: &str) -> Response {
        self.request("GET", path, &[("Accept", "*/*"), ("Sec-Fetch-Mode", "cors")], b"")
    }

    /// Submits a form from a page of the same origin.
    pub fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Response {
        let origin = format!("http://{}", self.host);
        self.post_from(&origin, path, fields)
    }

    /// Submits a form from a page of `origin`.
    pub fn post_from(&mut self, origin: &str, path: &str, fields: &[(&str, &str)]) -> Response {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let headers = [
            ("Content-Type", "application/x-www-form-urlencoded"),
            ("Origin", origin),
            ("Accept", "text/html"),
            ("Sec-Fetch-Mode", "navigate"),
        ];
        self.request("POST", path, &headers, body.as_bytes())
    }

    /// Any request, with the jar's cookies.
    pub fn request(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.host);
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !self.jar.is_empty() {
            let cookies: Vec<String> = self.jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
            head.push_str(&format!("Cookie: {}\r\n", cookies.join("; ")));
        }
        if !body.is_empty() || method == "POST" {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        let mut client = Client::connect(self.address);
        client.send(format!("{head}\r\n")).send(body);
        let response = if method == "HEAD" { client.head_response() } else { client.response() };
        self.keep(&response);
        response
    }

    /// Opens the sign-in page and submits it.
    pub fn sign_in(&mut self, user: &str, password: &str) -> Response {
        self.sign_in_to("/", user, password)
    }

    /// The same, on the way to `rd`.
    pub fn sign_in_to(&mut self, rd: &str, user: &str, password: &str) -> Response {
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("rd", rd).finish();
        let page = self.get(&format!("/.session/login?{query}"));
        let csrf = field(&page, "csrf").expect("a form with a token");
        let rd = field(&page, "rd").unwrap_or_default();
        self.post("/.session/login", &[("csrf", &csrf), ("rd", &rd), ("username", user), ("password", password)])
    }

    /// Opens the sign-out page and presses the button.
    pub fn sign_out(&mut self) -> Response {
        let page = self.get("/.session/logout");
        let csrf = field(&page, "csrf").expect("a form with a token");
        self.post("/.session/logout", &[("csrf", &csrf)])
    }

    /// Takes a response's cookies into the jar, as those of all its own requests.
    pub fn keep(&mut self, response: &Response) {
        for line in response.all("set-cookie") {
            let (name, value) = line.split(';').next().unwrap().split_once('=').expect("name=value");
            match line.contains("Max-Age=0") {
                true => self.jar.remove(name.trim()),
                false => self.jar.insert(name.trim().into(), value.trim().into()),
            };
        }
    }
}

/// The session id that a response gives the browser.
pub fn issued(response: &Response) -> Option<String> {
    let lines: Vec<&str> =
        response.all("set-cookie").into_iter().filter(|line| line.starts_with("sessionid=")).collect();
    assert!(lines.len() <= 1, "several lines: {lines:?}");
    let value = lines.first()?["sessionid=".len()..].split(';').next()?;
    (!value.is_empty()).then(|| value.to_owned())
}

/// Whether a response takes the session cookie away.
pub fn forgets(response: &Response) -> bool {
    response.all("set-cookie").iter().any(|line| line.starts_with("sessionid=;") && line.contains("Max-Age=0"))
}

/// The value of a hidden field of the page's form.
pub fn field(page: &Response, name: &str) -> Option<String> {
    let text = page.text();
    let at = text.find(&format!("name=\"{name}\""))?;
    let tag = &text[text[..at].rfind('<')?..];
    let tag = &tag[..tag.find('>')?];
    let value = tag.split("value=\"").nth(1)?;
    Some(value[..value.find('"')?].replace("&#x2f;", "/").replace("&amp;", "&"))
}
