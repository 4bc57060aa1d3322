//! The "legacy" app of `cloakroom demo`: a small web site in the manner of 2003.
//!
//! `demo` starts it behind the gateway. It stands for every app nobody can change, so it must know
//! nothing of the gateway: it keeps its own visit counter in its own cookie, takes the user from
//! `Remote-User` and its companions, and imports nothing from the rest of this crate.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, COOKIE, LOCATION, SET_COOKIE};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use minijinja::{Environment, Value, context};
use tokio::net::TcpListener;
use tokio::time::Interval;

/// Serves the site on `listener` until the task is dropped.
///
/// `footer` is HTML shown at the bottom of every page: whoever runs a site puts the links of the house there.
pub async fn run(listener: TcpListener, footer: String) {
    let site = Arc::new(Site::new(footer));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, most likely: wait for some to come back.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let site = Arc::clone(&site);
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let site = Arc::clone(&site);
                async move { Ok::<_, Infallible>(site.answer(request).await) }
            });
            let mut server = hyper::server::conn::http1::Builder::new();
            // A connection that breaks is the visitor's business; the app keeps no log.
            let _ = server.timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

type Page = Response<BoxBody<Bytes, Infallible>>;

/// The pages and the one thing the site remembers: its notice board.
struct Site {
    pages: Environment<'static>,
    footer: String,
    notice_board: Mutex<VecDeque<Note>>,
}

/// One line of the notice board.
#[derive(Debug, Clone)]
struct Note {
    author: String,
    text: String,
}

const NOTICE_BOARD_LINES: usize = 20;
const NOTICE_BOARD_CHARS: usize = 200;
const FORM_BYTES: usize = 4096;
const SLOW_LINES: u32 = 10;
const SLOW_PAUSE: Duration = Duration::from_millis(500);

const PAGES: [(&str, &str); 7] = [
    ("layout.html", include_str!("pages/layout.html")),
    ("front.html", include_str!("pages/front.html")),
    ("headers.html", include_str!("pages/headers.html")),
    ("secret.html", include_str!("pages/secret.html")),
    ("staff.html", include_str!("pages/staff.html")),
    ("slow.html", include_str!("pages/slow.html")),
    ("missing.html", include_str!("pages/missing.html")),
];

impl Site {
    fn new(footer: String) -> Self {
        let mut pages = Environment::new();
        for (name, source) in PAGES {
            // The pages are compiled in and a test renders each: what fails here cannot be shipped.
            let added = pages.add_template(name, source);
            debug_assert!(added.is_ok(), "{name}: {added:?}");
        }
        Self { pages, footer, notice_board: Mutex::default() }
    }

    async fn answer(&self, request: Request<Incoming>) -> Page {
        let (head, body) = request.into_parts();
        match (head.method, head.uri.path()) {
            (Method::GET | Method::HEAD, "/") => self.front(&head.headers),
            (Method::GET | Method::HEAD, "/headers") => self.headers(&head.headers),
            (Method::GET | Method::HEAD, "/secret") => self.secret(&head.headers),
            (Method::POST, "/secret") => self.pin_note(&head.headers, body).await,
            (Method::GET | Method::HEAD, "/secret/staff") => self.staff(&head.headers),
            (Method::GET, "/slow") => self.slow(&head.headers),
            _ => self.page(StatusCode::NOT_FOUND, "missing.html", &head.headers, context! {}),
        }
    }

    /// Counts this visit and shows the way around.
    fn front(&self, headers: &HeaderMap) -> Page {
        let visits = next_visit(headers);
        let mut page = self.page(StatusCode::OK, "front.html", headers, context! { visits });
        // As such apps do: no HttpOnly, no SameSite, no Secure.
        if let Ok(cookie) = format!("visits={visits}; Path=/; Max-Age=31536000").parse() {
            page.headers_mut().append(SET_COOKIE, cookie);
        }
        page
    }

    /// Everything that arrived, to see what the gateway took out and put in.
    fn headers(&self, headers: &HeaderMap) -> Page {
        let lines: Vec<_> = headers
            .iter()
            .map(|(name, value)| context! { name => name.as_str(), value => text(value.as_bytes()) })
            .collect();
        self.page(StatusCode::OK, "headers.html", headers, context! { lines })
    }

    /// For known users only: the app trusts the web server before it to have asked who they are.
    fn secret(&self, headers: &HeaderMap) -> Page {
        let notes: Vec<_> = self
            .notice_board()
            .iter()
            .map(|note| context! { author => note.author.clone(), text => note.text.clone() })
            .collect();
        self.page(known_only(headers), "secret.html", headers, context! { notes })
    }

    /// Again for known users; which of them may come is the web server's business.
    fn staff(&self, headers: &HeaderMap) -> Page {
        self.page(known_only(headers), "staff.html", headers, context! {})
    }

    async fn pin_note(&self, headers: &HeaderMap, body: Incoming) -> Page {
        let (Some(author), Ok(form)) = (remote(headers, "remote-user"), Limited::new(body, FORM_BYTES).collect().await)
        else {
            return self.secret(headers);
        };
        if let Some(text) = note_text(&form.to_bytes()) {
            let mut notes = self.notice_board();
            notes.push_front(Note { author, text });
            notes.truncate(NOTICE_BOARD_LINES);
        }
        let mut answer = respond(StatusCode::SEE_OTHER, String::new());
        answer.headers_mut().insert(LOCATION, http::HeaderValue::from_static("/secret"));
        answer
    }

    /// A page that arrives line by line: whoever buffers it spoils it.
    fn slow(&self, headers: &HeaderMap) -> Page {
        let (status, html) = self.render(StatusCode::OK, "slow.html", headers, context! {});
        let (start, end) = html.split_once("<!-- lines -->").unwrap_or((&html, ""));
        let lines = SlowLines {
            interval: tokio::time::interval(SLOW_PAUSE),
            start: Some(start.to_owned()),
            end: Some(end.to_owned()),
            sent: 0,
        };
        let mut page = respond(status, String::new());
        *page.body_mut() = BodyExt::boxed(lines);
        page
    }

    fn notice_board(&self) -> std::sync::MutexGuard<'_, VecDeque<Note>> {
        // A half-made note cannot be left behind: each change is one call on the deque.
        self.notice_board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn page(&self, status: StatusCode, name: &str, headers: &HeaderMap, values: Value) -> Page {
        let (status, html) = self.render(status, name, headers, values);
        respond(status, html)
    }

    fn render(&self, status: StatusCode, name: &str, headers: &HeaderMap, values: Value) -> (StatusCode, String) {
        let frame = context! {
            user => remote(headers, "remote-user"),
            name => remote(headers, "remote-name"),
            email => remote(headers, "remote-email"),
            groups => remote(headers, "remote-groups"),
            footer => self.footer.clone(),
            ..values
        };
        match self.pages.get_template(name).and_then(|page| page.render(frame)) {
            Ok(html) => (status, html),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("The page is broken: {error}")),
        }
    }
}

/// The body of the slow page: one line, a pause, the next.
struct SlowLines {
    interval: Interval,
    start: Option<String>,
    end: Option<String>,
    sent: u32,
}

impl Body for SlowLines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(start) = self.start.take() {
            return piece(start);
        }
        if self.sent == SLOW_LINES {
            return self.end.take().map_or(Poll::Ready(None), piece);
        }
        ready!(self.interval.poll_tick(cx));
        self.sent += 1;
        piece(format!("<li>Line {} of {SLOW_LINES}</li>\n", self.sent))
    }
}

fn piece(html: String) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
    Poll::Ready(Some(Ok(Frame::data(html.into()))))
}

fn respond(status: StatusCode, html: String) -> Page {
    let mut page = Response::new(BodyExt::boxed(Full::from(html)));
    *page.status_mut() = status;
    page.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("text/html; charset=utf-8"));
    page
}

/// What the web server before us says of the user; empty counts as absent.
fn remote(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).map(|value| text(value.as_bytes())).filter(|value| !value.is_empty())
}

fn known_only(headers: &HeaderMap) -> StatusCode {
    if remote(headers, "remote-user").is_some() { StatusCode::OK } else { StatusCode::FORBIDDEN }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// One more than the `visits` cookie says; 1 when it is absent or not a number.
fn next_visit(headers: &HeaderMap) -> u32 {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().strip_prefix("visits="))
        .find_map(|value| value.parse::<u32>().ok())
        .map_or(1, |visits| visits.saturating_add(1))
}

/// The `text` field of the form, cut to length; none when it is blank.
fn note_text(form: &[u8]) -> Option<String> {
    let (_, text) = form_urlencoded::parse(form).find(|(name, _)| name == "text")?;
    let text: String = text.trim().chars().take(NOTICE_BOARD_CHARS).collect();
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    async fn html(page: Page) -> String {
        text(&page.into_body().collect().await.unwrap().to_bytes())
    }

    fn site() -> Site {
        Site::new("<a href=\"/out\">Sign out</a>".into())
    }

    #[test]
    fn every_page_renders() {
        let site = site();
        for (name, _) in PAGES {
            let (status, html) = site.render(StatusCode::OK, name, &headers(&[]), context! {});
            assert_eq!(status, StatusCode::OK, "{name}: {html}");
        }
    }

    #[tokio::test]
    async fn header_values_are_escaped() {
        let page = site().headers(&headers(&[("x-evil", "<script>alert('x')</script> & \"more\"")]));
        let html = html(page).await;
        assert!(!html.contains("<script>"), "{html}");
        assert!(html.contains("&lt;script&gt;"), "{html}");
    }

    #[tokio::test]
    async fn the_user_name_is_escaped_and_the_footer_is_not() {
        let html = html(site().front(&headers(&[("remote-user", "<b>eve</b>")]))).await;
        assert!(html.contains("&lt;b&gt;eve"), "{html}");
        assert!(html.contains("<a href=\"/out\">Sign out</a>"), "{html}");
    }

    #[test]
    fn the_first_visit_is_number_one() {
        assert_eq!(next_visit(&headers(&[])), 1);
    }

    #[test]
    fn the_counter_is_read_from_among_other_cookies() {
        assert_eq!(next_visit(&headers(&[("cookie", "a=1; visits=41;b=2")])), 42);
        assert_eq!(next_visit(&headers(&[("cookie", "a=1"), ("cookie", "visits=41")])), 42);
    }

    #[test]
    fn a_broken_counter_starts_again_and_a_full_one_stays() {
        assert_eq!(next_visit(&headers(&[("cookie", "visits=many")])), 1);
        assert_eq!(next_visit(&headers(&[("cookie", "visits=4294967295")])), u32::MAX);
    }

    #[test]
    fn the_front_page_sets_the_counter_cookie() {
        let page = site().front(&headers(&[("cookie", "visits=6")]));
        assert_eq!(page.headers()[SET_COOKIE], "visits=7; Path=/; Max-Age=31536000");
    }

    #[test]
    fn the_closed_pages_are_forbidden_without_a_user() {
        assert_eq!(site().secret(&headers(&[])).status(), StatusCode::FORBIDDEN);
        assert_eq!(site().staff(&headers(&[])).status(), StatusCode::FORBIDDEN);
        assert_eq!(site().secret(&headers(&[("remote-user", "")])).status(), StatusCode::FORBIDDEN);
        assert_eq!(site().secret(&headers(&[("remote-user", "ada")])).status(), StatusCode::OK);
    }

    #[test]
    fn a_note_is_trimmed_and_cut_and_blank_ones_are_dropped() {
        assert_eq!(note_text(b"text=+hello+%26+goodbye+").as_deref(), Some("hello & goodbye"));
        assert_eq!(note_text(b"text=+++"), None);
        assert_eq!(note_text(b"other=x"), None);
        let long = format!("text={}", "x".repeat(1000));
        assert_eq!(note_text(long.as_bytes()).unwrap().len(), NOTICE_BOARD_CHARS);
    }

    #[tokio::test(start_paused = true)]
    async fn the_slow_page_comes_in_pieces_and_ends() {
        let mut body = site().slow(&headers(&[])).into_body();
        let mut pieces = Vec::new();
        while let Some(frame) = body.frame().await {
            pieces.push(text(&frame.unwrap().into_data().unwrap()));
        }
        assert_eq!(pieces.len(), SLOW_LINES as usize + 2);
        assert!(pieces.last().unwrap().contains("</html>"));
    }

    proptest! {
        #[test]
        fn any_cookie_line_gives_a_count(line in "\\PC*") {
            let mut map = HeaderMap::new();
            if let Ok(value) = HeaderValue::from_str(&line) {
                map.insert(COOKIE, value);
            }
            prop_assert!(next_visit(&map) >= 1);
        }

        #[test]
        fn any_form_gives_at_most_a_short_line(form in proptest::collection::vec(any::<u8>(), 0..600)) {
            if let Some(text) = note_text(&form) {
                prop_assert!((1..=NOTICE_BOARD_CHARS).contains(&text.chars().count()));
            }
        }
    }
}
