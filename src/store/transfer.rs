//! Moving sessions between stores: [`export`] writes every entry to a file, [`import`] reads it into another store.
//!
//! Called by `cli`. Records are sealed and stay so: nobody opens them here. SECURITY: the file holds what the store
//! holds, no more: who has it sees who was signed in when, and can sign in as nobody.
//!
//! # The file
//! JSON, one object on each line. The first names the format: `{"format":"cloakroom-sessions","version":1}`. Each of
//! the others is an entry, with exactly these fields:
//!
//! | field | holds |
//! | --- | --- |
//! | `key` | the store key, SHA-256 of the id: base64 with padding |
//! | `handle` | the session's public name: 16 hexadecimal digits |
//! | `user`, `address`, `agent` | text, or null |
//! | `created`, `last_seen`, `deadline` | milliseconds since the Unix epoch, or null for "never" |
//! | `alias` | true for what leads from a replaced id to its successor |
//! | `version` | counts the writes, from 1 |
//! | `data` | the sealed record: base64 with padding |

mod line;

use std::future::poll_fn;
use std::io::{self, BufRead, Read, Write};
use std::pin::Pin;
use std::task::Poll;

pub use line::Broken;

use super::{Cursor, Error, Reply, Store};

/// So many entries are read, or written, at a time: a store that acknowledges after a flush shares it among them.
const BATCH: usize = 256;

/// The longest line; an entry has a megabyte of data at most.
const LONGEST_LINE: u64 = 4 * 1024 * 1024;

/// Why sessions could not be moved.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The store is at fault.
    #[error(transparent)]
    Store(#[from] Error),
    /// The file is.
    #[error("the file cannot be read or written: {0}")]
    File(#[from] io::Error),
    /// The file does not begin as one of ours does.
    #[error("line 1: {0}")]
    NotOurs(Broken),
}

/// What became of the lines of a file.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Imported {
    /// Entries that are in the store now.
    pub imported: u64,
    /// Entries whose key the store had already: they stay as they were.
    pub skipped: u64,
    /// Lines that are no entry.
    pub broken: u64,
}

/// What an import tells while it runs.
#[derive(Debug)]
pub enum Progress<'a> {
    /// So many bytes of the file are done.
    Read(u64),
    /// This line, counted from 1, is no entry; the import goes on.
    Broken(u64, &'a Broken),
}

/// Writes every entry of `store`, those of replaced ids among them, and returns how many; `progress` is told now and
/// then how many it were so far. Entries that are written while this runs may be missing.
///
/// # Errors
/// When the store cannot be reached, or the file not be written; what is there then is not the whole.
pub async fn export(
    store: &dyn Store,
    to: &mut dyn Write,
    progress: &mut dyn FnMut(u64),
) -> Result<u64, TransferError> {
    writeln!(to, "{}", line::header())?;
    let (mut written, mut cursor) = (0, None::<Cursor>);
    loop {
        let page = store.page(cursor.as_ref(), BATCH).await?;
        for (key, entry) in &page.entries {
            writeln!(to, "{}", line::write(key, entry))?;
            written += 1;
        }
        progress(written);
        cursor = page.next;
        if cursor.is_none() {
            to.flush()?;
            return Ok(written);
        }
    }
}

/// Puts every entry of a file into `store`, unless its key is there already. A broken line is told and passed over.
///
/// # Errors
/// When the file is none of ours or cannot be read, or the store cannot be reached or is full. What was imported
/// before stays; the same file may be imported again.
pub async fn import(
    store: &dyn Store,
    from: &mut dyn BufRead,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Imported, TransferError> {
    let mut lines = Lines { from, number: 0, bytes: 0 };
    let header = lines.next()?.unwrap_or_default();
    line::check_header(&header).map_err(TransferError::NotOurs)?;
    let mut done = Imported::default();
    loop {
        let (mut replies, mut at_end) = (Vec::with_capacity(BATCH), false);
        while replies.len() < BATCH {
            let Some(text) = lines.next()? else {
                at_end = true;
                break;
            };
            match line::read(&text) {
                Ok((key, entry)) => replies.push(store.create(key, entry)),
                Err(broken) => {
                    done.broken += 1;
                    progress(Progress::Broken(lines.number, &broken));
                }
            }
        }
        for inserted in all(replies).await {
            if inserted? {
                done.imported += 1;
            } else {
                done.skipped += 1;
            }
        }
        progress(Progress::Read(lines.bytes));
        if at_end {
            return Ok(done);
        }
    }
}

/// The lines of a file, none longer than [`LONGEST_LINE`]; empty ones are passed over.
struct Lines<'a> {
    from: &'a mut dyn BufRead,
    number: u64,
    bytes: u64,
}

impl Lines<'_> {
    fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            let mut line = Vec::new();
            let read = (&mut *self.from).take(LONGEST_LINE).read_until(b'\n', &mut line)? as u64;
            if read == 0 {
                return Ok(None);
            }
            self.number += 1;
            self.bytes += read;
            if read == LONGEST_LINE && !line.ends_with(b"\n") {
                self.bytes += skip_line(self.from)?;
            }
            if !line.trim_ascii().is_empty() {
                return Ok(Some(line));
            }
        }
    }
}

fn skip_line(from: &mut dyn BufRead) -> io::Result<u64> {
    let mut skipped = 0;
    loop {
        let piece = from.fill_buf()?;
        let end = piece.iter().position(|byte| *byte == b'\n');
        let length = end.map_or(piece.len(), |at| at + 1);
        let over = end.is_some() || length == 0;
        from.consume(length);
        skipped += length as u64;
        if over {
            return Ok(skipped);
        }
    }
}

/// Waits for all of them at once.
async fn all<T: Unpin>(mut replies: Vec<Reply<'_, T>>) -> Vec<Result<T, Error>> {
    let mut answers: Vec<Option<Result<T, Error>>> = replies.iter().map(|_| None).collect();
    poll_fn(|cx| {
        let mut waiting = false;
        for (reply, answer) in replies.iter_mut().zip(&mut answers).filter(|(_, answer)| answer.is_none()) {
            match Pin::new(reply).poll(cx) {
                Poll::Ready(ready) => *answer = Some(ready),
                Poll::Pending => waiting = true,
            }
        }
        if waiting { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    answers.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests;
