//! The framing of RFC 7047, section 4: JSON objects one after the other, without lengths or separators.

use serde_json::Value;
use std::io;
use tokio_util::{
    bytes::{Buf, BufMut, BytesMut},
    codec::{Decoder, Encoder},
};

/// Longest message that is taken. The first answer to a monitor holds all rows: about 1 KiB for each port of the node.
const MAX_MESSAGE: usize = 256 << 20;

/// Finds the end of each JSON object, in time linear in its length however it is cut into pieces.
#[derive(Debug, Default)]
pub(super) struct JsonCodec {
    /// How many bytes of the buffer were looked at.
    scanned: usize,
    /// How many brackets are open.
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl JsonCodec {
    /// Looks at one more byte. True: the message ends with it.
    fn step(&mut self, byte: u8) -> io::Result<bool> {
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
            return Ok(false);
        }
        match byte {
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' if self.depth == 1 => {
                self.depth = 0;
                return Ok(true);
            }
            b'}' | b']' if self.depth > 1 => self.depth -= 1,
            b' ' | b'\t' | b'\r' | b'\n' => {}
            _ if self.depth == 0 => return Err(invalid(format!("a JSON object is expected, not byte {byte:#04x}"))),
            b'"' => self.in_string = true,
            _ => {}
        }
        Ok(false)
    }
}

fn invalid(reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

impl Decoder for JsonCodec {
    type Item = Value;
    type Error = io::Error;

    fn decode(&mut self, buffer: &mut BytesMut) -> io::Result<Option<Value>> {
        while let Some(byte) = buffer.get(self.scanned).copied() {
            self.scanned += 1;
            if self.step(byte)? {
                let message = buffer.split_to(self.scanned);
                self.scanned = 0;
                return serde_json::from_slice(&message).map(Some).map_err(invalid);
            }
            if self.depth == 0 {
                buffer.advance(self.scanned);
                self.scanned = 0;
            }
        }
        if buffer.len() > MAX_MESSAGE {
            return Err(invalid(format!("a message of more than {MAX_MESSAGE} bytes")));
        }
        Ok(None)
    }
}

impl Encoder<&Value> for JsonCodec {
    type Error = io::Error;

    fn encode(&mut self, message: &Value, buffer: &mut BytesMut) -> io::Result<()> {
        serde_json::to_writer(buffer.writer(), message).map_err(invalid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            "[\\\\\"{}\\[\\]]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::hash_map(any::<String>(), inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn messages_survive_any_cutting(bodies in prop::collection::vec(any_json(), 1..5), piece in 1_usize..40) {
            let messages: Vec<Value> = bodies.into_iter().map(|body| json!({ "params": body })).collect();
            let mut bytes = BytesMut::new();
            for message in &messages {
                JsonCodec::default().encode(message, &mut bytes).unwrap();
                bytes.extend_from_slice(b"\n ");
            }
            let (mut codec, mut buffer, mut seen) = (JsonCodec::default(), BytesMut::new(), Vec::new());
            for chunk in bytes.chunks(piece) {
                buffer.extend_from_slice(chunk);
                while let Some(message) = codec.decode(&mut buffer).unwrap() {
                    seen.push(message);
                }
            }
            prop_assert_eq!(seen, messages);
            prop_assert!(buffer.is_empty());
        }

        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut buffer = BytesMut::from(&bytes[..]);
            let mut codec = JsonCodec::default();
            while let Ok(Some(_)) = codec.decode(&mut buffer) {}
        }
    }

    #[test]
    fn text_outside_of_objects_is_refused() {
        let mut buffer = BytesMut::from(&b"HTTP/1.1 400 Bad Request"[..]);
        assert_eq!(JsonCodec::default().decode(&mut buffer).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
