//! What a session costs in memory, all in: slot, counts, envelope, record, indexes, and the allocator's share.

use cloakroom::clock::Timestamp;

use crate::SESSIONS;
use crate::sessions::{Maker, filled};

/// Fills a store and prints by how much the process grew for each session.
pub fn print(data: usize, percent_signed_in: u64) {
    let maker = Maker::new(data, percent_signed_in);
    let before = resident_bytes();
    let store = filled(&maker, SESSIONS, |_| Timestamp(u64::MAX));
    let grown = resident_bytes().saturating_sub(before);
    match store {
        Ok(_) => println!("{:5} B per session", grown / SESSIONS),
        Err(error) => println!("{error}"),
    }
}

/// Resident memory of this process; 0 where the system does not tell.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}
