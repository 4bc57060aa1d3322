//! The writes, as Lua: each is one step for Redis, however many gateways there are. Called by the store's operations.
//!
//! All keys of one script lie in one slot of a Cluster: an entry, the deadlines of its shard and the indexes by user
//! of that shard carry the same hash tag. So the index is never a second step that could be lost. See `entry.lua`.

use redis::{Cmd, ErrorKind, RedisError, Script, ServerErrorKind, Value};

use super::link::Connection;

/// Text, and the digest by which Redis knows it once it has seen it.
pub(super) struct Program {
    text: &'static str,
    digest: String,
}

/// All of them.
pub(super) struct Scripts {
    pub(super) create: Program,
    pub(super) update: Program,
    pub(super) touch: Program,
    pub(super) delete: Program,
    pub(super) sweep: Program,
    pub(super) read: Program,
}

macro_rules! program {
    ($name:literal) => {
        Program::new(concat!(include_str!("entry.lua"), include_str!($name)))
    };
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            create: program!("create.lua"),
            update: program!("update.lua"),
            touch: program!("touch.lua"),
            delete: program!("delete.lua"),
            sweep: program!("sweep.lua"),
            read: program!("read.lua"),
        }
    }
}

impl Program {
    fn new(text: &'static str) -> Self {
        Self { text, digest: Script::new(text).get_hash().to_owned() }
    }

    /// By digest; the text is sent only to a server that has not seen it since its start.
    pub(super) async fn run(
        &self,
        connection: &mut Connection,
        keys: &[Vec<u8>],
        arguments: &[&[u8]],
    ) -> Result<Value, RedisError> {
        let by_digest = self.command("EVALSHA", &self.digest, keys, arguments).query_async(connection).await;
        match by_digest {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                self.command("EVAL", self.text, keys, arguments).query_async(connection).await
            }
            answer => answer,
        }
    }

    fn command(&self, how: &str, what: &str, keys: &[Vec<u8>], arguments: &[&[u8]]) -> Cmd {
        let mut command = redis::cmd(how);
        command.arg(what).arg(keys.len()).arg(keys).arg(arguments);
        command
    }
}
