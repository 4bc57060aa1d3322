//! The statements: each does its operation whole, in one round trip and one transaction of its own.
//!
//! Made once per store. `postgres` asks them; the order of parameters is said at each.

use super::channel::Names;
use super::row::COLUMNS;

/// From this size on the count is the planner's estimate (within the twentieth at which the table is analysed
/// again): counting a million rows takes longer than an operation may.
const EXACT_UP_TO: usize = 20_000;

pub(super) struct Statements {
    /// key, handle…data, in the order of `row::COLUMNS`: a row when it was inserted.
    pub create: String,
    /// key.
    pub load: String,
    /// handle…data with the version seen in its place, key, payload: whether written, whether there, who listens.
    pub update: String,
    /// key, last seen, deadline, payload.
    pub touch: String,
    /// key, payload: the row or nulls, who listens.
    pub delete: String,
    /// user name.
    pub list_by_user: String,
    /// after this key, limit.
    pub page: String,
    /// As [`Self::page`], from the first key on; only the limit.
    pub first_page: String,
    pub count: String,
    /// now, limit.
    pub sweep: String,
    pub ping: String,
}

impl Statements {
    pub fn new(names: &Names) -> Self {
        let table = names.table();
        // Whoever listens can be seen before it trusts its copies; see `channel`. Who writes is not counted.
        let listening = format!(
            "listening AS MATERIALIZED (
                SELECT application_name AS name FROM pg_stat_activity
                WHERE datid = (SELECT oid FROM pg_database WHERE datname = current_database())
                    AND starts_with(application_name, '{}') AND application_name <> '{}')",
            names.all_listeners(),
            names.listener(),
        );
        let who = "ARRAY(SELECT name FROM listening) AS listening";
        // PERF: only when somebody listens: transactions with a NOTIFY commit one after the other, across the server.
        let tell = |payload: &str, from: &str| {
            format!(
                "SELECT pg_notify('{}', {payload}) FROM {from} WHERE EXISTS (SELECT FROM listening)",
                names.channel()
            )
        };
        let selected = |rest: &str| format!("SELECT {COLUMNS} FROM {table} {rest}");
        Self {
            create: format!(
                "INSERT INTO {table} ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
                ON CONFLICT (key) DO NOTHING RETURNING true"
            ),
            load: selected("WHERE key = $1"),
            // Versions are kept in 32 bits by `Entry`.
            update: format!(
                "WITH {listening}, written AS (
                    UPDATE {table} SET handle = $1, user_name = $2, created = $3, address = $4, agent = $5, alias = $6,
                        version = (version + 1) & 4294967295, last_seen = greatest(last_seen, $8), deadline = $9,
                        data = $10
                    WHERE key = $11 AND version = $7 RETURNING true
                ), told AS ({})
                SELECT EXISTS (SELECT FROM written), EXISTS (SELECT FROM {table} WHERE key = $11), {who},
                    (SELECT count(*) FROM told)",
                tell("$12", "written"),
            ),
            // PERF: the setting ends with the transaction, whose commit does not wait for the disk: a crash of the
            // server may take the last touches back. The condition spares a write that would change nothing.
            touch: format!(
                "WITH {listening}, touched AS (
                    UPDATE {table} SET last_seen = greatest(last_seen, $2), deadline = greatest(deadline, $3)
                    WHERE key = $1 AND (last_seen < $2 OR deadline < $3)
                    RETURNING set_config('synchronous_commit', 'off', true)
                ), told AS ({})
                SELECT (SELECT count(*) FROM told), (SELECT count(*) FROM touched)",
                tell("$4", "touched"),
            ),
            // Told also when there was nothing: another gateway may just be deleting it, and not have been heard by all.
            delete: format!(
                "WITH {listening}, gone AS (DELETE FROM {table} WHERE key = $1 RETURNING {COLUMNS}),
                told AS ({})
                SELECT {COLUMNS}, {who}, (SELECT count(*) FROM told) FROM (VALUES (1)) AS one LEFT JOIN gone ON true",
                tell("$2", "(VALUES (1)) AS one"),
            ),
            list_by_user: selected("WHERE user_name = $1 AND NOT alias"),
            page: selected("WHERE key > $1 ORDER BY key LIMIT $2"),
            first_page: selected("ORDER BY key LIMIT $1"),
            count: count(table),
            // Two gateways may sweep at once: neither waits for the other's rows. Nobody is told: whoever has a copy
            // has one that is expired too.
            sweep: format!(
                "WITH expired AS MATERIALIZED (
                    SELECT key FROM {table} WHERE due <= ($1 >> 18) AND deadline <= $1
                    ORDER BY due LIMIT $2 FOR UPDATE SKIP LOCKED
                )
                DELETE FROM {table} USING expired WHERE {table}.key = expired.key RETURNING {}",
                COLUMNS.split(", ").map(|column| format!("{table}.{column}")).collect::<Vec<_>>().join(", "),
            ),
            ping: format!("SELECT FROM {table} LIMIT 1"),
        }
    }
}

/// Exact while it is cheap; then as the planner reckons, rows per page seen by the last ANALYZE times pages now.
fn count(table: &str) -> String {
    format!(
        "SELECT CASE
            WHEN few.n < {EXACT_UP_TO} THEN few.n
            WHEN class.reltuples > 0 AND class.relpages > 0 THEN greatest({EXACT_UP_TO},
                class.reltuples::float8 / class.relpages * pg_relation_size(class.oid)
                    / current_setting('block_size')::float8)::bigint
            ELSE (SELECT count(*) FROM {table})
        END
        FROM (SELECT count(*) AS n FROM (SELECT FROM {table} LIMIT {EXACT_UP_TO}) AS first_ones) AS few, pg_class AS class
        WHERE class.oid = '{table}'::regclass"
    )
}
