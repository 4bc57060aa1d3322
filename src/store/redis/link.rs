//! The one connection to Redis: made in the background, watched, and made again for ever. Started by the store when
//! it is made; operations take what is there.
//!
//! One connection carries everything: commands of all requests at once, announcements and invalidations. So what
//! others did is heard in the order in which Redis did it, and a connection that is lost is lost for both.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection, SendError};
use redis::cluster_async::ClusterConnection;
use redis::{AsyncConnectionConfig, Cmd, ConnectionAddr, Pipeline, PushInfo, RedisError, RedisFuture, Value};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use super::Shared;
use super::address::Address;
use super::listener::Told;

/// A connection that takes longer to make will not come.
pub(super) const CONNECT: Duration = Duration::from_secs(1);

/// Between two attempts, growing; short, so that everything is back within a second.
const PAUSES: [Duration; 4] =
    [Duration::from_millis(10), Duration::from_millis(50), Duration::from_millis(100), Duration::from_millis(200)];

/// How often the connection is asked whether it lives; with [`PONG`] two seconds of silence at most.
const TICK: Duration = Duration::from_millis(500);
const PONG: Duration = Duration::from_millis(1500);

/// A Cluster's nodes are mended by the client; it is made anew when none has answered for so long.
const LOST_CLUSTER: Duration = Duration::from_secs(10);

/// To one server or to many.
#[derive(Clone)]
pub(super) enum Connection {
    One(MultiplexedConnection),
    Many(ClusterConnection),
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::One(connection) => connection.req_packed_command(command),
            Self::Many(connection) => connection.req_packed_command(command),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::One(connection) => connection.req_packed_commands(pipeline, offset, count),
            Self::Many(connection) => connection.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::One(connection) => connection.get_db(),
            Self::Many(connection) => connection.get_db(),
        }
    }
}

/// A connection just made.
struct Made {
    connection: Connection,
    /// Where it leads, to see when the sentinels say otherwise.
    place: Option<ConnectionAddr>,
    /// Told when it breaks.
    lost: Arc<Notify>,
    /// What others announced over it and wait for.
    told: mpsc::UnboundedReceiver<Told>,
}

/// Never ends: whoever started it ends it.
pub(super) async fn keep(shared: Arc<Shared>) {
    let mut failures = 0;
    loop {
        match make(&shared).await {
            Ok(made) => {
                failures = 0;
                serve(&shared, made).await;
            }
            Err(error) => {
                if failures == 0 {
                    warn!(redis = %shared.address, %error, "Redis cannot be reached: trying on");
                }
                sleep(PAUSES[failures.min(PAUSES.len() - 1)]).await;
                failures += 1;
            }
        }
    }
}

async fn make(shared: &Arc<Shared>) -> Result<Made, RedisError> {
    let (tell, told) = mpsc::unbounded_channel();
    let lost = Arc::new(Notify::new());
    let on_push = {
        let (shared, lost) = (Arc::downgrade(shared), lost.clone());
        move |push: PushInfo| -> Result<(), SendError> {
            if push.kind == redis::PushKind::Disconnection {
                lost.notify_one();
            } else if let Some(shared) = shared.upgrade() {
                shared.listener.hear(&push, &tell);
            }
            Ok(())
        }
    };
    // No time-out of its own: each operation has its deadline.
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT))
        .set_response_timeout(None)
        .set_pipeline_buffer_size(1024)
        .set_push_sender(on_push);
    let (client, place) = match &shared.address {
        Address::Cluster { client, .. } => {
            let connection = client.get_async_connection();
            let connection = Connection::Many(timeout(CONNECT * 2, connection).await.map_err(std::io::Error::from)??);
            return Ok(Made { connection, place: None, lost, told });
        }
        Address::Single { client, .. } => (client.clone(), None),
        Address::Sentinel { .. } => {
            let client = master(shared).await?;
            let place = client.get_connection_info().addr().clone();
            (client, Some(place))
        }
    };
    let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
    let subscribed = connection.subscribe(shared.listener.own_channel());
    timeout(CONNECT, subscribed).await.map_err(std::io::Error::from)??;
    Ok(Made { connection: Connection::One(connection), place, lost, told })
}

async fn master(shared: &Shared) -> Result<redis::Client, RedisError> {
    let mut sentinels = shared.address.ask_sentinels()?;
    timeout(CONNECT * 2, sentinels.async_get_client()).await.map_err(std::io::Error::from)?
}

/// Until the connection is lost, or leads to a server that is no longer the master.
async fn serve(shared: &Arc<Shared>, made: Made) {
    let Made { mut connection, place, lost, told } = made;
    info!(redis = %shared.address, "connected to Redis");
    shared.repeat_deletes(&mut connection).await;
    shared.link.send_replace(Some(connection.clone()));
    shared.breaker.answered();
    let confirming = tokio::spawn(confirm(shared.clone(), connection.clone(), told));
    let reason = tokio::select! {
        () = lost.notified() => "the connection was closed",
        () = shared.renew.notified() => "the server is not the master",
        reason = watch(shared, &mut connection, place) => reason,
    };
    shared.listener.distrust();
    shared.link.send_replace(None);
    confirming.abort();
    warn!(redis = %shared.address, reason, "connection to Redis lost");
}

async fn watch(shared: &Arc<Shared>, connection: &mut Connection, place: Option<ConnectionAddr>) -> &'static str {
    let mut heard = Instant::now();
    let mut listening = false;
    loop {
        if let (Connection::One(connection), false) = (&mut *connection, listening) {
            listening = shared.listener.listen(connection).await;
        }
        tokio::select! {
            () = shared.listener.attached() => continue,
            () = sleep(TICK) => {}
        }
        let ping = redis::cmd("PING");
        match timeout(PONG, ping.query_async::<Value>(connection)).await {
            Ok(Ok(_)) => heard = Instant::now(),
            _ if shared.address.is_cluster() && heard.elapsed() < LOST_CLUSTER => {}
            _ => return "it does not answer",
        }
        if let Some(place) = &place
            && let Ok(client) = master(shared).await
            && client.get_connection_info().addr() != place
        {
            return "the sentinels name another master";
        }
    }
}

/// Tells those who announced a write that the copies are forgotten; what has gathered meanwhile in one go.
async fn confirm(shared: Arc<Shared>, mut connection: Connection, mut told: mpsc::UnboundedReceiver<Told>) {
    let mut waiting = Vec::new();
    while told.recv_many(&mut waiting, 256).await > 0 {
        let mut confirmations = Pipeline::new();
        for Told { node, operation } in waiting.drain(..) {
            confirmations.cmd("PUBLISH").arg(shared.listener.channel_of(&node)).arg(&operation).ignore();
        }
        if let Err(error) = confirmations.query_async::<()>(&mut connection).await {
            warn!(%error, "a change by another gateway could not be confirmed");
        }
    }
}
