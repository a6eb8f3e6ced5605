//! The messages among the bytes of a WebSocket connection.

/// The end of the HTTP head at the start of a connection.
const END_OF_HEAD: &[u8] = b"\r\n\r\n";

/// In the first byte of a frame: set on a message's last frame.
const FINAL: u8 = 0x80;
/// In the first byte of a frame: its opcode.
const OPCODE: u8 = 0x0f;
/// Opcodes up to this one are parts of messages, the others control frames.
const BINARY: u8 = 2;
/// The opcode of a close frame, the last of a connection.
const CLOSE: u8 = 8;

/// In the second byte of a frame: its payload is masked.
const MASKED: u8 = 0x80;

/// Parses one direction of a connection.
#[derive(Default)]
pub(super) struct Messages {
    is_past_head: bool,
    /// The bytes of an incomplete frame.
    rest: Vec<u8>,
}

/// A message, or the last part of one.
pub(super) struct Message {
    mask: [u8; 4],
    bytes: Vec<u8>,
}

impl Messages {
    /// The messages that end in the next `piece`.
    pub(super) fn take(&mut self, piece: &[u8]) -> Vec<Message> {
        self.rest.extend_from_slice(piece);
        if !self.is_past_head {
            let mut places = self.rest.windows(END_OF_HEAD.len());
            let Some(end) = places.position(|place| place == END_OF_HEAD) else {
                return Vec::new();
            };
            self.rest.drain(..end + END_OF_HEAD.len());
            self.is_past_head = true;
        }
        let mut messages = Vec::new();
        while self.close_frame() == 0
            && let Some((length, message)) = frame(&self.rest)
        {
            if self.rest[0] & FINAL != 0 && self.rest[0] & OPCODE <= BINARY {
                messages.push(message);
            }
            self.rest.drain(..length);
        }
        messages
    }

    /// How many bytes there are from the close frame on.
    pub(super) fn close_frame(&self) -> usize {
        match self.rest.first() {
            Some(first) if self.is_past_head && first & OPCODE == CLOSE => self.rest.len(),
            _ => 0,
        }
    }
}

impl Message {
    /// Its payload.
    pub(super) fn payload(self) -> Vec<u8> {
        let masked = self.bytes.iter().zip(self.mask.iter().cycle());
        masked.map(|(byte, mask)| byte ^ mask).collect()
    }
}

/// The frame at the start of `bytes`, and its length; none if it is incomplete.
fn frame(bytes: &[u8]) -> Option<(usize, Message)> {
    let second = *bytes.get(1)?;
    let (length, head) = match second & !MASKED {
        126 => (u64::from(u16::from_be_bytes(*bytes[2..].first_chunk()?)), 4),
        127 => (u64::from_be_bytes(*bytes[2..].first_chunk()?), 10),
        length => (u64::from(length), 2),
    };
    let (mask, begin) = match second & MASKED {
        0 => ([0; 4], head),
        _ => (*bytes.get(head..)?.first_chunk()?, head + 4),
    };
    let end = begin.checked_add(usize::try_from(length).ok()?)?;
    let bytes = bytes.get(begin..end)?.to_vec();
    Some((end, Message { mask, bytes }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(first: u8, text: &[u8]) -> Vec<u8> {
        const MASK: [u8; 4] = [1, 2, 3, 4];
        let mut frame = vec![first];
        match text.len() {
            length @ 0..126 => frame.push(MASKED | u8::try_from(length).unwrap()),
            length => {
                frame.push(MASKED | 126);
                frame.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
        }
        frame.extend(MASK);
        frame.extend(text.iter().zip(MASK.iter().cycle()).map(|(a, b)| a ^ b));
        frame
    }

    #[test]
    fn messages_are_found_however_their_bytes_are_cut() {
        const PING: u8 = 9;
        let long = vec![b'x'; 300];
        let close_frame = masked(FINAL | CLOSE, b"");
        let bytes = [
            b"GET / HTTP/1.1\r\n\r\n".to_vec(),
            masked(FINAL | BINARY, b"short"),
            masked(FINAL | PING, b"ping"),
            masked(FINAL | BINARY, &long),
            vec![FINAL | BINARY, 2, b'o', b'k'],
            close_frame.clone(),
        ]
        .concat();
        for size in [1, 2, 7, 150, bytes.len()] {
            let mut messages = Messages::default();
            let whole = bytes.chunks(size).flat_map(|piece| messages.take(piece));
            let payload: Vec<_> = whole.map(Message::payload).collect();
            assert_eq!(payload, [b"short".to_vec(), long.clone(), b"ok".to_vec()]);
            assert_eq!(messages.close_frame(), close_frame.len());
        }
    }
}
