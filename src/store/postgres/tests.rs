//! With real servers, which `tests/run` starts: PostgreSQL, a second one to break, pgbouncer.

mod faults;
mod interleavings;
mod near;
mod pooler;
mod tables;

use std::env;

use super::*;
use crate::store::conformance;

/// Generous, for a busy machine: where a time-out matters the test says another one.
const PATIENCE: Duration = Duration::from_secs(1);

fn server(variable: &str) -> String {
    env::var(variable).unwrap_or_else(|_| panic!("{variable} must hold the URL of a server: tests/run starts one"))
}

fn url() -> String {
    server("CLOAKROOM_TEST_POSTGRES")
}

/// Tables of its own for each test.
fn prefix() -> String {
    format!("t{:08x}_", rand::random::<u32>())
}

/// The prefix is also the application name, by which a test finds the store's connections.
fn options(url: &str, prefix: &str) -> Options {
    let url = format!("{url}?application_name={prefix}");
    Options { url, listen_url: None, prefix: prefix.into(), timeout: PATIENCE, max_connections: 4 }
}

fn store(options: &Options) -> PostgresStore {
    PostgresStore::connect(options, Handle::current()).unwrap()
}

/// A connection of the test's own.
async fn client(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server: tests/run starts one"]
async fn it_keeps_the_contract_of_every_store() {
    conformance::suite(async || store(&options(&url(), &prefix()))).await;
}
