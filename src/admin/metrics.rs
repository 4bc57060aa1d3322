//! `GET /metrics`: what can be counted, in the text format of OpenMetrics 1.0, which Prometheus reads.
//!
//! Made anew for each question from the counters that the modules keep; nothing is registered anywhere.

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::session::{Counters, Manager};

/// The media type of the text.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The text.
pub(super) async fn text(sessions: &Manager) -> String {
    let mut registry = Registry::with_prefix("cloakroom");
    register(sessions.counters(), &mut registry);
    // An unreachable store has no number: the line is then missing, as scrapers expect.
    if let Ok(count) = sessions.count().await {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        registry.register("store_entries", "Sessions and aliases in the store", ConstGauge::new(count));
    }
    let mut text = String::new();
    // Writing to a `String` does not fail.
    let _ = encode(&mut text, &registry);
    text
}

fn register(counters: &Counters, registry: &mut Registry) {
    let events = Family::<[(&str, &str); 1], Counter>::default();
    for (event, count) in counters.events() {
        events.get_or_create(&[("event", event.name())]).inc_by(count);
    }
    registry.register("session_events", "Turns in the lives of sessions", events);
    let too_large = ConstCounter::new(counters.too_large());
    registry.register(
        "session_data_too_large",
        "Times an app wanted to keep more than session.max_data_size",
        too_large,
    );
}
