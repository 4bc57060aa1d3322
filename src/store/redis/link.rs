//! The connections to Redis: made in the background, watched, and made again for ever. Started by the store when it
//! is made; operations take what is there.
//!
//! One carries the commands of all requests at once, another one, the ear, what is heard of other gateways: a long
//! answer does not hold it up, and Redis cuts subscribers that let 32 MiB wait. They are made and given up together.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection, SendError};
use redis::cluster_async::ClusterConnection;
use redis::{AsyncConnectionConfig, Cmd, ConnectionAddr, Pipeline, PushInfo, PushKind, RedisError, RedisFuture, Value};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use super::address::Address;
use super::listener::Told;
use super::{Failure, Shared};
use crate::store::Key;

/// A connection that takes longer to make will not come.
pub(super) const CONNECT: Duration = Duration::from_secs(1);

/// Between two attempts, growing; short, so that everything is back within a second.
const PAUSES: [Duration; 4] =
    [Duration::from_millis(10), Duration::from_millis(50), Duration::from_millis(100), Duration::from_millis(200)];

/// How often the connection is asked whether it lives; with [`PONG`] two seconds of silence at most.
const TICK: Duration = Duration::from_millis(500);
const PONG: Duration = Duration::from_millis(1500);

/// While the breaker is open Redis is asked so often whether it answers again.
const PROBE: Duration = Duration::from_millis(100);

/// A Cluster's nodes are mended by the client; it is made anew when it has heard of none for so long.
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

/// Connections just made.
struct Made {
    connection: Connection,
    /// To one server only.
    ear: Option<MultiplexedConnection>,
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
                shared.troubled_by(None);
                serve(&shared, made).await;
            }
            Err(error) => {
                // Once for each reason: first nobody listens, then perhaps the password is wrong.
                if shared.troubled_by(Some(error.to_string())) {
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
    let (client, place) = match &shared.address {
        Address::Cluster { client, .. } => {
            let connection = timeout(CONNECT * 2, client.get_async_connection());
            let connection = Connection::Many(connection.await.map_err(std::io::Error::from)??);
            return Ok(Made { connection, ear: None, place: None, lost, told });
        }
        Address::Single { client, .. } => (client.clone(), None),
        Address::Sentinel { .. } => {
            let client = master(shared).await?;
            let place = client.get_connection_info().addr().clone();
            (client, Some(place))
        }
    };
    let commands = configured(lost.clone(), |_| {});
    let connection = client.get_multiplexed_async_connection_with_config(&commands).await?;
    let listener = Arc::downgrade(shared);
    let pushes = configured(lost.clone(), move |push| {
        if let Some(shared) = listener.upgrade() {
            shared.listener.hear(push, &tell);
        }
    });
    let mut ear = client.get_multiplexed_async_connection_with_config(&pushes).await?;
    let subscribed = timeout(CONNECT, ear.subscribe(shared.listener.own_channel()));
    subscribed.await.map_err(std::io::Error::from)??;
    Ok(Made { connection: Connection::One(connection), ear: Some(ear), place, lost, told })
}

/// No time-out of its own for answers: each operation has its deadline.
fn configured(lost: Arc<Notify>, hear: impl Fn(&PushInfo) + Send + Sync + 'static) -> AsyncConnectionConfig {
    let on_push = move |push: PushInfo| -> Result<(), SendError> {
        match push.kind {
            PushKind::Disconnection => lost.notify_one(),
            _ => hear(&push),
        }
        Ok(())
    };
    AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT))
        .set_response_timeout(None)
        .set_pipeline_buffer_size(1024)
        .set_push_sender(on_push)
}

async fn master(shared: &Shared) -> Result<redis::Client, RedisError> {
    let mut sentinels = shared.address.ask_sentinels()?;
    timeout(CONNECT * 2, sentinels.async_get_client()).await.map_err(std::io::Error::from)?
}

/// Until a connection is lost, or leads to a server that is no longer the master.
async fn serve(shared: &Arc<Shared>, made: Made) {
    let Made { mut connection, ear, place, lost, told } = made;
    info!(redis = %shared.address, "connected to Redis");
    let repeated = shared.repeat_deletes(&connection).await;
    shared.link.send_replace(Some(connection.clone()));
    shared.breaker.answered();
    let confirming = ear.clone().map(|ear| tokio::spawn(confirm(shared.clone(), ear, told)));
    let reason = tokio::select! {
        () = lost.notified() => "the connection was closed",
        () = shared.renew.notified() => "the server is not the master",
        () = watch_ear(shared, ear) => "it does not answer",
        () = close_breaker(shared, connection.clone()) => "it does not answer",
        reason = watch(shared, &mut connection, place, repeated) => reason,
    };
    shared.listener.distrust();
    shared.link.send_replace(None);
    if let Some(confirming) = confirming {
        confirming.abort();
    }
    warn!(redis = %shared.address, reason, "connection to Redis lost");
}

async fn watch(
    shared: &Arc<Shared>,
    connection: &mut Connection,
    place: Option<ConnectionAddr>,
    repeated: bool,
) -> &'static str {
    if shared.address.is_cluster() {
        return watch_cluster(shared, connection, repeated).await;
    }
    warn_of_eviction(connection).await;
    loop {
        sleep(TICK).await;
        if !answers(connection).await {
            return "it does not answer";
        }
        if let Some(place) = &place
            && let Ok(client) = master(shared).await
            && client.get_connection_info().addr() != place
        {
            return "the sentinels name another master";
        }
    }
}

/// The client finds new masters itself, on the same connection: only the Cluster's epoch, which each failover raises,
/// tells that there may be one who has not heard of the last deletes.
async fn watch_cluster(shared: &Arc<Shared>, connection: &mut Connection, mut repeated: bool) -> &'static str {
    let (mut heard, mut last) = (Instant::now(), None);
    loop {
        sleep(TICK).await;
        // Any node that lives can answer. redis 1.8.1 has been seen to hang, for all nodes, once one had died.
        let Ok(asked) = timeout(PONG, epoch(connection)).await else { return "it does not answer" };
        match asked {
            Ok(epoch) => {
                (heard, repeated) = (Instant::now(), repeated && last.is_none_or(|last| last >= epoch));
                last = last.max(Some(epoch));
            }
            Err(failure) if failure.is_of_the_connection() && heard.elapsed() > LOST_CLUSTER => {
                return "it does not answer";
            }
            Err(_) => {}
        }
        if !repeated {
            repeated = shared.repeat_deletes(connection).await;
        }
    }
}

/// Whenever requests no longer wait for Redis: asks in their place, and has them ask again when it answers in time.
/// Never ends by itself.
async fn close_breaker(shared: &Shared, mut connection: Connection) {
    loop {
        shared.breaker.opened().await;
        // A key of its own each time: it leads to any node of a Cluster, for the others may be well.
        let mut probe = redis::cmd("GET");
        probe.arg(shared.names.entry(&Key(rand::random())));
        let answer = timeout(shared.timeout, probe.query_async::<Value>(&mut connection)).await;
        if answer.is_ok_and(|answer| !answer.is_err_and(|error| Failure::from(error).is_of_the_connection())) {
            shared.breaker.answered();
        } else {
            sleep(PROBE).await;
        }
    }
}

/// What a node knows of it: it may lag behind another.
async fn epoch(connection: &mut Connection) -> Result<u64, Failure> {
    let info: String = redis::cmd("CLUSTER").arg("INFO").query_async(connection).await?;
    let epoch = info.lines().find_map(|line| line.strip_prefix("cluster_current_epoch:")?.trim().parse().ok());
    Ok(epoch.unwrap_or_default())
}

/// Listens as soon as there is somebody to listen for.
async fn watch_ear(shared: &Shared, ear: Option<MultiplexedConnection>) {
    let Some(mut ear) = ear else { return std::future::pending().await };
    let mut listening = false;
    loop {
        if !listening {
            listening = shared.listener.listen(&mut ear).await;
        }
        tokio::select! {
            () = shared.listener.attached() => continue,
            () = sleep(TICK) => {}
        }
        if !answers(&mut ear).await {
            return;
        }
    }
}

async fn answers(connection: &mut impl ConnectionLike) -> bool {
    let ping = redis::cmd("PING");
    matches!(timeout(PONG, ping.query_async::<Value>(connection)).await, Ok(Ok(_)))
}

/// A server that may throw sessions away to make room signs people out.
async fn warn_of_eviction(connection: &mut Connection) {
    let Connection::One(connection) = connection else { return };
    let asked = redis::cmd("INFO").arg("memory").query_async::<String>(connection).await;
    let Ok(info) = asked else { return };
    let value = |name| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap_or_default();
    let (limit, policy) = (value("maxmemory"), value("maxmemory_policy"));
    if limit != "0" && !["", "noeviction"].contains(&policy) {
        warn!(policy, "Redis evicts sessions when memory is short: set maxmemory-policy noeviction");
    }
}

/// Tells those who announced a write that the copies are forgotten; what has gathered meanwhile in one go.
async fn confirm(shared: Arc<Shared>, mut ear: MultiplexedConnection, mut told: mpsc::UnboundedReceiver<Told>) {
    let mut waiting = Vec::new();
    while told.recv_many(&mut waiting, 256).await > 0 {
        let mut confirmations = Pipeline::new();
        for Told { node, operation } in waiting.drain(..) {
            confirmations.cmd("PUBLISH").arg(shared.listener.channel_of(&node)).arg(&operation).ignore();
        }
        if let Err(error) = confirmations.query_async::<()>(&mut ear).await {
            warn!(%error, "a change by another gateway could not be confirmed");
        }
    }
}
