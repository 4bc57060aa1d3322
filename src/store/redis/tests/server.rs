//! Redis servers of a test's own: on a free port, in a directory of their own, ended by pid.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::{by_hand, eventually};

/// Ends with the value.
pub(super) struct Server {
    pub(super) port: u16,
    directory: TempDir,
    arguments: Vec<String>,
    child: Child,
}

impl Server {
    /// `arguments`: as on the command line, such as `--appendonly yes`.
    pub(super) async fn start(arguments: &str) -> Self {
        let port = free_port();
        let directory = tempfile::tempdir().unwrap();
        let arguments: Vec<String> = arguments.split_whitespace().map(str::to_owned).collect();
        let child = spawn(port, &directory, &arguments);
        let server = Self { port, directory, arguments, child };
        server.answers().await;
        server
    }

    pub(super) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(super) async fn answers(&self) {
        eventually("the server answers", async || {
            let client = redis::Client::open(self.url()).unwrap();
            let Ok(mut connection) = client.get_multiplexed_async_connection().await else { return false };
            redis::cmd("PING").query_async::<()>(&mut connection).await.is_ok()
        })
        .await;
    }

    /// Ends it as a crash does.
    pub(super) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// The same server again: same port, same files.
    pub(super) fn restart(&mut self) {
        self.child = spawn(self.port, &self.directory, &self.arguments);
    }

    /// `INFO replication`.
    pub(super) async fn replication(&self) -> String {
        self.ask("INFO replication").await
    }

    /// Waits until it follows a master, and has what that one had when it began.
    pub(super) async fn follows(&self) {
        let following = ["role:slave", "link_status:up"];
        eventually("the replica follows", async || {
            let told = self.replication().await;
            following.iter().all(|line| told.contains(line))
        })
        .await;
    }

    pub(super) async fn is_promoted(&self) {
        eventually("the replica is promoted", async || self.replication().await.contains("role:master")).await;
    }

    /// From now on it hears nothing of its master, as if the network between them were gone.
    pub(super) async fn loses_its_master(&self, master: &Self) {
        self.ask::<()>("CONFIG SET masteruser nobody").await;
        self.ask::<()>("CONFIG SET masterauth wrong").await;
        let _: u64 = master.ask("CLIENT KILL TYPE replica").await;
        eventually("the link is down", async || self.replication().await.contains("link_status:down")).await;
    }

    pub(super) fn freeze(&self) {
        self.signal("-STOP");
    }

    pub(super) fn thaw(&self) {
        self.signal("-CONT");
    }

    pub(super) async fn ask<T: redis::FromRedisValue>(&self, command: &str) -> T {
        let mut words = command.split_whitespace();
        let mut command = redis::cmd(words.next().unwrap());
        words.for_each(|word| {
            command.arg(word);
        });
        by_hand(&self.url(), &mut command).await
    }

    fn signal(&self, signal: &str) {
        let done = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(done.success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A Cluster's nodes also take the port 10000 above.
pub(super) fn free_port() -> u16 {
    loop {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        if port < 55000 && TcpListener::bind(("127.0.0.1", port + 10000)).is_ok() {
            return port;
        }
    }
}

fn spawn(port: u16, directory: &TempDir, arguments: &[String]) -> Child {
    let sentinel = arguments.first().is_some_and(|first| first == "--sentinel");
    // Or Valkey's: `tests/run` plays all of this on both.
    let program = std::env::var("CLOAKROOM_TEST_REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned());
    let mut command = Command::new(&program);
    if sentinel {
        command.arg(directory.path().join("sentinel.conf"));
        std::fs::write(directory.path().join("sentinel.conf"), "").unwrap();
    }
    command.args(arguments).args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--dir"]).arg(directory.path());
    if !sentinel {
        command.args(["--save", ""]);
    }
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap_or_else(|error| panic!("{program}: {error}"))
}
