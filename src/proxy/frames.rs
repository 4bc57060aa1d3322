//! Where one frame of a WebSocket ends and the next begins (RFC 6455 §5.2): one of our own may stand between them only.
//!
//! `tunnel` shows it what an app has sent to the browser. It keeps no content and judges none.

/// The longest head without its mask: two bytes, and a length of eight.
const LONGEST_HEAD: usize = 10;
const MASK: u64 = 4;
const CLOSE: u8 = 8;

/// How far a stream of frames has come.
#[derive(Debug, Default)]
pub(super) struct Frames {
    head: [u8; LONGEST_HEAD],
    /// So many bytes of the head are there.
    filled: usize,
    /// So many bytes of the payload (and of its mask) are still to come.
    left: u64,
    has_closed: bool,
}

impl Frames {
    /// These have gone on.
    ///
    /// PERF: payloads are stepped over, so the cost is one turn for each frame and each byte of a head.
    pub fn pass(&mut self, mut bytes: &[u8]) {
        while let [first, rest @ ..] = bytes {
            if self.left > 0 {
                let step = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
                self.left -= step as u64;
                bytes = &bytes[step..];
                continue;
            }
            self.head[self.filled] = *first;
            self.filled += 1;
            bytes = rest;
            if let Some(payload) = self.payload() {
                self.has_closed |= self.head[0] & 0x0f == CLOSE;
                (self.left, self.filled) = (payload, 0);
            }
        }
    }

    /// Whether a frame of ours may follow: the last one is whole, and was not the sender's farewell.
    #[must_use]
    pub fn may_insert(&self) -> bool {
        self.filled == 0 && self.left == 0 && !self.has_closed
    }

    /// What follows the head, once that is whole; at ten bytes it is.
    fn payload(&self) -> Option<u64> {
        let [_, second, length @ ..] = &self.head;
        let payload = match (second & 0x7f, self.filled) {
            (_, ..2) | (126, ..4) | (127, ..LONGEST_HEAD) => return None,
            (126, _) => u64::from(u16::from_be_bytes([length[0], length[1]])),
            (127, _) => u64::from_be_bytes(*length),
            (short, _) => u64::from(short),
        };
        let mask = if second & 0x80 == 0 { 0 } else { MASK };
        Some(payload.saturating_add(mask))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(opcode: u8, payload: usize, masked: bool) -> Vec<u8> {
        let mask = if masked { 0x80 } else { 0 };
        let mut bytes = vec![opcode];
        match payload {
            ..126 => bytes.push(mask | payload as u8),
            126..0x1_0000 => bytes.extend([&[mask | 126][..], &(payload as u16).to_be_bytes()].concat()),
            _ => bytes.extend([&[mask | 127][..], &(payload as u64).to_be_bytes()].concat()),
        }
        bytes.resize(bytes.len() + payload + if masked { 4 } else { 0 }, 0x88);
        bytes
    }

    proptest! {
        #[test]
        fn only_the_end_of_a_frame_is_between_frames(
            frames in proptest::collection::vec((0u8..8, prop_oneof![0usize..130, 65_530usize..65_540], any::<bool>()), 0..6),
            piece in 1usize..5000,
        ) {
            let (mut bytes, mut ends) = (Vec::new(), vec![0]);
            for (opcode, payload, masked) in frames {
                bytes.extend(frame(opcode, payload, masked));
                ends.push(bytes.len());
            }
            let (mut tracked, mut passed) = (Frames::default(), 0);
            for piece in bytes.chunks(piece) {
                tracked.pass(piece);
                passed += piece.len();
                prop_assert_eq!(tracked.may_insert(), ends.contains(&passed));
            }
        }

        #[test]
        fn any_bytes_can_pass(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            Frames::default().pass(&bytes);
        }
    }

    #[test]
    fn nothing_follows_a_farewell() {
        let mut frames = Frames::default();
        frames.pass(&frame(0x81, 3, false));
        assert!(frames.may_insert());
        frames.pass(&frame(0x88, 2, false));
        assert!(!frames.may_insert());
    }

    #[test]
    fn the_longest_length_there_is_never_ends() {
        let mut frames = Frames::default();
        frames.pass(&[0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4, 5]);
        assert!(!frames.may_insert());
    }
}
