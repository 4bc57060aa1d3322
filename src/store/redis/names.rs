//! The names of what a store keeps in Redis, all under its prefix. Used by the store, its walks and its listener.
//!
//! Entries are dealt over 64 shards, by the first byte of their key. Each shard has a hash tag, so that everything
//! one script touches lies in one slot of a Cluster; a single server has the same layout, so data can move between.
//!
//! | name | type | |
//! |---|---|---|
//! | `PREFIXs:{NN}KEY` | string | the entry, or its tombstone; the key as 32 bytes |
//! | `PREFIXd:{NN}` | sorted set | keys by deadline |
//! | `PREFIXu:{NN}USER` | set | keys of the user's sessions |
//! | `PREFIXg:{NN}KEY` | string | what was deleted a moment ago |
//! | `PREFIXchanges` | channel | who writes what |
//! | `PREFIXdone:NODE` | channel | confirmations for a gateway |

use crate::store::Key;

/// How many shards there are.
pub(super) const SHARDS: u8 = 64;

/// Made from the prefix.
pub(super) struct Names {
    prefix: String,
}

impl Names {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    pub(super) fn shard(key: &Key) -> u8 {
        key.0[0] % SHARDS
    }

    /// What the names of all entries begin with.
    pub(super) fn entries(&self) -> Vec<u8> {
        format!("{}s:{{", self.prefix).into_bytes()
    }

    pub(super) fn entry(&self, key: &Key) -> Vec<u8> {
        [self.entries_of(Self::shard(key)).as_slice(), &key.0].concat()
    }

    pub(super) fn entries_of(&self, shard: u8) -> Vec<u8> {
        format!("{}s:{{{shard:02}}}", self.prefix).into_bytes()
    }

    pub(super) fn deleted(&self, key: &Key) -> Vec<u8> {
        [format!("{}g:{{{:02}}}", self.prefix, Self::shard(key)).as_bytes(), &key.0].concat()
    }

    pub(super) fn deadlines(&self, shard: u8) -> Vec<u8> {
        format!("{}d:{{{shard:02}}}", self.prefix).into_bytes()
    }

    /// What the names of the shard's indexes by user begin with.
    pub(super) fn users(&self, shard: u8) -> Vec<u8> {
        format!("{}u:{{{shard:02}}}", self.prefix).into_bytes()
    }

    pub(super) fn changes(&self) -> Vec<u8> {
        format!("{}changes", self.prefix).into_bytes()
    }

    pub(super) fn confirmations(&self, node: &[u8; 8]) -> Vec<u8> {
        format!("{}done:{:016x}", self.prefix, u64::from_be_bytes(*node)).into_bytes()
    }

    /// The key in the name of an entry.
    pub(super) fn key_of(&self, name: &[u8]) -> Option<Key> {
        let rest = name.strip_prefix(self.entries().as_slice())?;
        let key = rest.get("NN}".len()..)?;
        key.try_into().ok().map(Key)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_key_is_found_again_in_the_name_of_its_entry(key: [u8; 32]) {
            let names = Names::new("cloakroom:");
            let name = names.entry(&Key(key));
            prop_assert!(names.key_of(&name) == Some(Key(key)));
            prop_assert!(name.starts_with(&names.entries()));
        }

        #[test]
        fn other_names_hold_no_key(name: Vec<u8>) {
            let _ = Names::new("").key_of(&name);
        }
    }
}
