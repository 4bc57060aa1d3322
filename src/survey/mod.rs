//! `cloakroom observe`: looks on while a deployer signs in to an app, and writes the configuration for it.
//!
//! A pass-through of our own server and proxy, in memory only. [`start`] is called by `cli`; what was seen is judged
//! by the rules of `observe` themselves, so that what is printed is what the gateway will do. SECURITY: what people type
//! is not kept, but for the user's name; of a password only that there was one.

mod analysis;
mod attempts;
mod exposed;
mod findings;
mod leaving;
mod login_page;
mod matchers;
mod page;
mod passage;
mod public_paths;
mod sighting;
mod signing_on;
mod tee;
#[cfg(test)]
mod tests;
mod witness;
mod words;
mod yaml;

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use anyhow::{Context as _, anyhow};
use arc_swap::ArcSwap;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use self::passage::Passage;
use self::sighting::{Journal, Strangers};
use crate::config::schema::{self, Duration, HostHeader, Limits, Listener, ListenerAddress};
use crate::proxy::{Pools, Upstream};
use crate::server::{self, Bound, Connections, Shutdown, ShutdownSignal};
use crate::timers::Timers;

pub use findings::Findings;
pub use passage::News;
pub use yaml::{as_route, printable, switched};

/// Open streams and WebSockets may take so long to end.
const DRAIN_SECONDS: u64 = 1;

/// A pass-through at work. Dropping it stops it.
pub struct Survey {
    address: SocketAddr,
    shutdown: Shutdown,
    thread: JoinHandle<anyhow::Result<Findings>>,
}

/// Passes what comes to `listen` on to the app at `url`, which is called `host`; the receiver hears what a person at the
/// terminal wants to know.
///
/// # Errors
/// When `url` is not `http://HOST:PORT`, or `listen` cannot be listened on.
pub fn start(url: &str, host: HostHeader, listen: SocketAddr) -> anyhow::Result<(Survey, UnboundedReceiver<News>)> {
    let host_upstream = host == HostHeader::Upstream;
    let upstream = schema::Upstream { url: Some(url.into()), host, ..schema::Upstream::default() };
    let upstream = Upstream::from_config(0, &upstream).map_err(|error| anyhow!("--url: {error}"))?;
    let listener = Listener { address: ListenerAddress::Tcp(listen), ..Listener::default() };
    let bound = server::bind(&listener, 1).map_err(|error| anyhow!("--listen: {error}"))?;
    let ListenerAddress::Tcp(address) = &bound.address else { return Err(anyhow!("--listen: not an address")) };
    let address = *address;
    let (shutdown, (news, heard)) = (Shutdown::default(), unbounded_channel());
    let (signal, url) = (shutdown.signal(), url.trim_end_matches('/').to_owned());
    let work = move || {
        let (journal, strangers) = look_on(bound, upstream, signal, news)?;
        Ok(analysis::of(&url, host_upstream, &journal, &strangers))
    };
    let thread = thread::Builder::new().name("observe".into()).spawn(work)?;
    Ok((Survey { address, shutdown, thread }, heard))
}

impl Survey {
    /// Where to point the browser.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops passing on, asks the app what is still to be asked, and says what was found.
    ///
    /// # Errors
    /// When the thread could not do its work.
    pub fn finish(self) -> anyhow::Result<Findings> {
        self.shutdown.trigger();
        self.thread.join().map_err(|_| anyhow!("the pass-through broke down"))?
    }
}

type Hearer = UnboundedSender<News>;

fn look_on(
    bound: Bound,
    upstream: Upstream,
    shutdown: ShutdownSignal,
    news: Hearer,
) -> anyhow::Result<(Journal, Strangers)> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    runtime.block_on(async move {
        let timers = Timers::default();
        let pools = Pools::new(timers.clone());
        tokio::task::spawn_local(timers.clone().run());
        tokio::task::spawn_local(pools.clone().run());
        let limits = Limits { drain_timeout: Duration::seconds(DRAIN_SECONDS), ..Limits::default() };
        let connections = Connections::new(limits.max_connections);
        let limits = Arc::new(ArcSwap::from_pointee(limits));
        let worker = server::Worker { limits, timers: timers.clone(), connections, shutdown };
        let passage = Rc::new(Passage::new(upstream, pools, timers, news));
        let serving = Rc::clone(&passage);
        let connect = move |peer| {
            let (passage, peer) = (Rc::clone(&serving), Rc::new(peer));
            move |request| passage::pass(Rc::clone(&passage), Rc::clone(&peer), request)
        };
        server::run(bound.into_workers(), worker, connect).await.context("listening")?;
        passage.settle_questions().await;
        let strangers = passage.ask_as_stranger().await;
        Ok((passage.take_journal(), strangers))
    })
}
