//! `GET /metrics`: what can be counted, in the text format of OpenMetrics 1.0, which Prometheus reads.
//!
//! Made anew for each question from the counters that the modules keep; nothing is registered anywhere.

use std::collections::BTreeSet;
use std::fmt::Error;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::clock::Timestamp;
use crate::gateway::Gateway;
use crate::reload::Last;
use crate::session::{Counters, Manager};
use crate::store::timed;
use crate::telemetry::traffic;

/// The media type of the text.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The route of what falls on none: our own pages, and requests that are turned away before.
const NO_ROUTE: &str = "-";

type Labels = Vec<(&'static str, String)>;
type Counts = Family<Labels, Counter>;

/// The text.
pub(super) async fn text(gateway: &Gateway, reload: Last, now: Timestamp) -> String {
    let mut registry = Registry::with_prefix("cloakroom");
    count_sessions(&gateway.sessions, now, &mut registry).await;
    register_events(gateway.sessions.counters(), &mut registry);
    register_logins(gateway, &mut registry);
    register_store(&gateway.store_latency, &mut registry);
    register_traffic(gateway, &mut registry);
    register_reload(reload, &mut registry);
    let mut text = String::new();
    // Writing to a `String` does not fail.
    let _ = encode(&mut text, &registry);
    text
}

/// An unreachable store has no numbers: the lines are then missing, as scrapers expect.
async fn count_sessions(sessions: &Manager, now: Timestamp, registry: &mut Registry) {
    let gauge = |count: usize| ConstGauge::new(i64::try_from(count).unwrap_or(i64::MAX));
    if let Ok(count) = sessions.count().await {
        registry.register("store_entries", "Sessions and aliases in the store, expired ones among them", gauge(count));
    }
    if let Ok(count) = sessions.estimate_living(now).await {
        registry.register(
            "sessions_active",
            "Living sessions; exact up to 1000 entries in the store, an estimate from the first 1000 beyond",
            gauge(count),
        );
    }
}

fn register_events(counters: &Counters, registry: &mut Registry) {
    let (all, started, ended) = (Counts::default(), Counts::default(), Counts::default());
    for (event, count) in counters.events() {
        let name = event.name();
        all.get_or_create(&vec![("event", name.to_owned())]).inc_by(count);
        match name {
            "created" => add(&started, vec![("kind", "anonymous".to_owned())], count),
            "signed_in" => add(&started, vec![("kind", name.to_owned())], count),
            "signed_out" | "revoked" | "expired" | "theft_suspected" => {
                add(&ended, vec![("reason", name.to_owned())], count);
            }
            "rotated" => {
                registry.register("session_rotations", "New ids for living sessions", ConstCounter::new(count))
            }
            _ => {}
        }
        if name == "theft_suspected" {
            let help = "Replaced ids that were used after their grace";
            registry.register("session_thefts_suspected", help, ConstCounter::new(count));
        }
    }
    registry.register("session_events", "Turns in the lives of sessions", all);
    registry.register("sessions_started", "Sessions that began, and sign-ins, which always begin one", started);
    registry.register("sessions_ended", "Sessions that ended, by reason", ended);
    let graced = ConstCounter::new(counters.grace_hits());
    registry.register("session_grace_hits", "Requests with a replaced id that were served within its grace", graced);
    registry.register(
        "session_data_too_large",
        "Times an app wanted to keep more than session.max_data_size",
        ConstCounter::new(counters.too_large()),
    );
}

fn register_logins(gateway: &Gateway, registry: &mut Registry) {
    let logins = Counts::default();
    for (outcome, count) in gateway.auth.logins().outcomes() {
        add(&logins, vec![("result", outcome.name().to_owned())], count);
    }
    registry.register("logins", "Sign-ins by the form, by result", logins);
}

fn register_store(latency: &timed::Latency, registry: &mut Registry) {
    let (errors, mut rows) = (Counts::default(), Vec::new());
    for (operation, series) in latency.operations() {
        let labels: Labels = vec![("operation", operation.name().to_owned())];
        add(&errors, labels.clone(), series.errors());
        rows.push(Row::new(labels, series.sum(), &timed::BOUNDS, series.buckets()));
    }
    registry.register("store_errors", "Operations that the store could not answer", errors);
    let (name, help) = (
        "store_operation_seconds",
        "Time of the store's answers that took input or output; what was at hand is not timed.",
    );
    registry.register_collector(Box::new(Histograms { name, help, rows }));
}

fn register_traffic(gateway: &Gateway, registry: &mut Registry) {
    let (requests, faults, mut rows) = (Counts::default(), Counts::default(), Vec::new());
    // Routes may share a name: their numbers are then one.
    let names: BTreeSet<_> = gateway.routes.iter().map(|route| &route.name).collect();
    for route in names.into_iter().map(Some).chain([None]) {
        let (name, summary) = (route.map_or(NO_ROUTE, |name| name), gateway.traffic.summary(route));
        for (status, count) in summary.statuses {
            add(&requests, vec![("route", name.to_owned()), ("code", status.to_string())], count);
        }
        if route.is_none() {
            continue;
        }
        for (fault, count) in summary.faults {
            add(&faults, vec![("route", name.to_owned()), ("reason", fault.name().to_owned())], count);
        }
        let labels = vec![("route", name.to_owned())];
        rows.push(Row::new(labels, summary.time.as_secs_f64(), &traffic::BOUNDS, summary.times));
    }
    let (lasting, ended) = (&gateway.traffic.lasting, Counts::default());
    let websockets = ConstGauge::new(i64::try_from(lasting.websockets()).unwrap_or(i64::MAX));
    registry.register("websockets_open", "WebSockets that are open, or being opened", websockets);
    for (kind, count) in lasting.all_ended() {
        add(&ended, vec![("kind", kind.name().to_owned())], count);
    }
    registry.register("ended_with_session", "What was open and was closed because its session ended, by kind", ended);
    registry.register("requests", "Answers to clients, by route and status code", requests);
    registry.register("upstream_errors", "Requests to which an app gave no answer", faults);
    let help =
        "Time to the head of an app's answer; a sample on a busy gateway: one request in each tick of its clock.";
    registry.register_collector(Box::new(Histograms { name: "upstream_seconds", help, rows }));
}

/// Prometheus has these two of its own configuration, under these names.
fn register_reload(last: Last, registry: &mut Registry) {
    let gauge = |number: u64| ConstGauge::new(i64::try_from(number).unwrap_or(i64::MAX));
    registry.register(
        "config_last_reload_successful",
        "Whether the last reading of the configuration put it in force",
        gauge(last.successful.into()),
    );
    registry.register(
        "config_last_reload_success_timestamp_seconds",
        "When the configuration in force was read",
        gauge(last.success.unix_seconds()),
    );
}

fn add(family: &Counts, labels: Labels, count: u64) {
    family.get_or_create(&labels).inc_by(count);
}

/// Histograms that others have counted.
#[derive(Debug)]
struct Histograms {
    name: &'static str,
    help: &'static str,
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    labels: Labels,
    sum: f64,
    count: u64,
    /// Upper bound and count, not cumulated.
    buckets: Vec<(f64, u64)>,
}

impl Row {
    fn new(labels: Labels, sum: f64, bounds: &[f64], counts: impl IntoIterator<Item = u64>) -> Self {
        let bounds = bounds.iter().copied().chain([f64::INFINITY]);
        let buckets: Vec<_> = bounds.zip(counts).collect();
        Self { labels, sum, count: buckets.iter().map(|(_, count)| count).sum(), buckets }
    }
}

impl Collector for Histograms {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), Error> {
        let mut family = encoder.encode_descriptor(self.name, self.help, None, MetricType::Histogram)?;
        for row in &self.rows {
            let mut histogram = family.encode_family(&row.labels)?;
            histogram.encode_histogram::<NoLabelSet>(row.sum, row.count, &row.buckets, None)?;
        }
        Ok(())
    }
}
