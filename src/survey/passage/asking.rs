//! Requests of our own, between those of the browser: pages that may name the user, and what a stranger sees.
//!
//! Steps of `passage`. Only pages that the browser has asked for with GET are asked again, and few of them.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, Request, StatusCode, Uri};
use http_body_util::combinators::MapErr;
use http_body_util::{BodyExt as _, Empty, Limited};

use super::super::sighting::{Check, Journal, Said, Sighting, Strangers};
use super::super::{leaving, login_page, words};
use super::{Asker, Passage, Repeat};
use crate::http::body::BodyError;
use crate::policy;
use crate::proxy;

/// How much is read of an answer that we asked for ourselves.
const LONGEST_ANSWER: usize = 256 * 1024;
/// How long the app may take for it.
const PATIENCE: Duration = Duration::from_secs(5);
/// So many pages are asked again at most.
const MOST_CHECKS: usize = 8;

impl Passage {
    /// Whether a page may be one that says who is signed in.
    pub(super) fn may_name_the_user(&self, journal: &Journal, sighting: &Sighting) -> bool {
        let (asked, said) = (&sighting.asked, &sighting.said);
        let Some(user) = journal.all().rev().find_map(|(_, sighting)| sighting.asked.user.clone()) else {
            return false;
        };
        let is_same = |before: &Sighting| before.asked.path == asked.path && before.asked.query == asked.query;
        let repeated = self.questions.borrow().iter().any(|repeat| repeat.target.path() == asked.path)
            || journal.checks.iter().filter_map(|check| journal.at(check.place)).any(is_same);
        let is_plain = asked.query.is_none() || sighting.query_words().len() == pairs(asked.query.as_deref());
        asked.method == Method::GET
            && said.status == StatusCode::OK
            && !asked.has_authorization
            && !asked.cookie_names.is_empty()
            && is_plain
            && !words::is_way_out(&asked.path)
            && (said.is_html() || said.json().is_some())
            && said.text().to_lowercase().contains(&user.to_lowercase())
            && !repeated
            && self.repeated.get() < MOST_CHECKS
    }

    /// Asks for pages once more that may say who is signed in: as the gateway would, and as a stranger.
    pub async fn settle_questions(&self) {
        let questions = self.questions.take();
        for Repeat { place, target, asker } in questions {
            let with = self.ask(&asker, &target, true, "application/json, */*;q=0.5").await;
            let without = self.ask(&asker, &target, false, "application/json, */*;q=0.5").await;
            if let (Some(with), Some(without)) = (with, without) {
                self.journal.borrow_mut().checks.push(Check { place, with, without });
            }
        }
    }

    /// What a stranger sees: where the user was last, and where the sign-in may be.
    pub async fn ask_as_stranger(&self) -> Strangers {
        let mut strangers = Strangers::default();
        let Some(asker) = self.asker.borrow().clone() else { return strangers };
        let last_page = leaving::last_page(&self.journal.borrow());
        if let Some(page) = last_page {
            strangers.last_page = self.stranger(&asker, page).await;
        }
        let candidates = login_page::candidates(&self.journal.borrow());
        for page in candidates {
            strangers.sign_in_pages.extend(self.stranger(&asker, page).await);
        }
        strangers
    }

    async fn stranger(&self, asker: &Asker, target: String) -> Option<(String, Said)> {
        let said = self.ask(asker, &target.parse().ok()?, false, "text/html,*/*;q=0.8").await?;
        Some((target, said))
    }

    async fn ask(
        &self,
        asker: &Asker,
        target: &PathAndQuery,
        with_cookies: bool,
        accept: &'static str,
    ) -> Option<Said> {
        let mut request = Request::new(Empty::new().map_err(never as fn(_) -> _));
        *request.uri_mut() = Uri::from(target.clone());
        for name in [header::USER_AGENT, header::ACCEPT_LANGUAGE] {
            if let Some(value) = asker.headers.get(&name) {
                request.headers_mut().insert(name, value.clone());
            }
        }
        request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static(accept));
        let lines = self.lines(asker, with_cookies);
        let (parts, body) = request.into_parts();
        let (pools, upstream) = (&self.pools, &self.upstream);
        let asked = proxy::forward::<NoBody>(policy::to_the_sign_in(), &lines, pools, upstream, &parts, body);
        let answered = self.timers.timeout(PATIENCE, async {
            let (head, body) = asked.await.ok()?.into_parts();
            let body = Limited::new(body, LONGEST_ANSWER).collect().await.ok().map(http_body_util::Collected::to_bytes);
            Some(Said { body, ..self.said(asker, target.path(), head.status, &head.headers) })
        });
        answered.await.ok().flatten()
    }
}

/// A request without a body.
type NoBody = MapErr<Empty<Bytes>, fn(Infallible) -> BodyError>;

fn never(never: Infallible) -> BodyError {
    match never {}
}

fn pairs(query: Option<&str>) -> usize {
    form_urlencoded::parse(query.unwrap_or_default().as_bytes()).count()
}
