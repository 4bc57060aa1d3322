//! Which of the four field names that decide framing a name is, though it may arrive in pieces.

/// The fields the guard reads or counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Host,
    ContentLength,
    TransferEncoding,
    Upgrade,
    Other,
}

const LONGEST: usize = "transfer-encoding".len();

/// The first bytes of a field name and its whole length.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct NameWindow {
    bytes: [u8; LONGEST],
    len: usize,
}

impl NameWindow {
    /// Takes the next piece of the name.
    pub(super) fn extend(&mut self, piece: &[u8]) {
        let room = self.bytes.get_mut(self.len..).unwrap_or_default();
        for (slot, byte) in room.iter_mut().zip(piece) {
            *slot = *byte;
        }
        self.len = self.len.saturating_add(piece.len());
    }

    /// What the whole name is.
    pub(super) fn field(&self) -> Field {
        // PERF: the length alone rules out nearly every other field.
        let (name, field): (&[u8], _) = match self.len {
            4 => (b"host", Field::Host),
            7 => (b"upgrade", Field::Upgrade),
            14 => (b"content-length", Field::ContentLength),
            17 => (b"transfer-encoding", Field::TransferEncoding),
            _ => return Field::Other,
        };
        if self.bytes[..self.len].eq_ignore_ascii_case(name) { field } else { Field::Other }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_pieces_is_still_found_and_a_longer_one_is_not() {
        let mut name = NameWindow::default();
        name.extend(b"Trans");
        name.extend(b"fer-ENCODING");
        assert_eq!(name.field(), Field::TransferEncoding);
        name.extend(b"s");
        assert_eq!(name.field(), Field::Other);
    }
}
