//! TensorBoard's event files: every number of metrics.jsonl, under its key.
//!
//! A file is a sequence of records (length, masked CRC-32C of it, bytes, masked CRC-32C of them), each an `Event` message
//! of protocol buffers. It is made anew from metrics.jsonl when training begins or is taken up, so it never holds a step twice.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use cream::{Directory, MetricsRow, Progress, Stage, Update};

use crate::args::Log;

/// TensorBoard looks for "tfevents" in names.
const FILE: &str = "events.out.tfevents.cream";

/// Passes everything on, and writes event files where that is asked for.
pub(crate) struct Events<P> {
    inner: P,
    /// The folder that stages name their outputs in.
    store: Option<Directory>,
}

impl<P: Progress> Events<P> {
    pub(crate) fn new(inner: P, log: Option<Log>, folder: &Path) -> Result<Self> {
        let store = log.map(|Log::Tensorboard| Directory::open(folder)).transpose()?;
        Ok(Events { inner, store })
    }
}

impl<P: Progress> Progress for Events<P> {
    fn update(&mut self, update: &Update<'_>) -> cream::Result<()> {
        if let Some(store) = &mut self.store
            && matches!(update.stage, Stage::Train | Stage::Sft)
        {
            let folder = if update.output.is_empty() { String::new() } else { format!("{}/", update.output) };
            let (file, now) = (folder.clone() + FILE, now());
            match update.metrics {
                Some(row) => store.append(&file, &record(&event(now, row)))?,
                None => {
                    // Of the steps made, and of no other.
                    let metrics = store.read(&(folder + "metrics.jsonl"))?.unwrap_or_default();
                    let lines = metrics.split(|&byte| byte == b'\n');
                    let rows = lines.filter_map(|line| serde_json::from_slice(line).ok());
                    let events = rows.map(|row: MetricsRow| record(&event(now, &row)));
                    let bytes = [record(&first_event(now))].into_iter().chain(events).flatten().collect::<Vec<u8>>();
                    store.write(&file, &bytes)?;
                }
            }
        }
        self.inner.update(update)
    }

    fn log(&mut self, line: &str) {
        self.inner.log(line);
    }

    fn detail(&mut self, lines: &str) {
        self.inner.detail(lines);
    }
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// `Event { wall_time: 1, file_version: 3 }`.
fn first_event(wall_time: f64) -> Vec<u8> {
    let mut event = Vec::new();
    double(&mut event, 1, wall_time);
    bytes(&mut event, 3, b"brain.Event:2");
    event
}

/// `Event { wall_time: 1, step: 2, summary: 5 }`, with `Summary { repeated value: 1 }` and
/// `Value { tag: 1, simple_value: 2 }`.
fn event(wall_time: f64, row: &MetricsRow) -> Vec<u8> {
    let (mut event, mut summary) = (Vec::new(), Vec::new());
    let row_as_json = serde_json::to_value(row).expect("numbers under strings");
    for (tag, number) in row_as_json.as_object().into_iter().flatten().filter(|(key, _)| *key != "step") {
        let mut value = Vec::new();
        bytes(&mut value, 1, tag.as_bytes());
        float(&mut value, 2, number.as_f64().unwrap_or(f64::NAN) as f32);
        bytes(&mut summary, 1, &value);
    }
    double(&mut event, 1, wall_time);
    varint(&mut event, 2 << 3);
    varint(&mut event, row.step as u64);
    bytes(&mut event, 5, &summary);
    event
}

fn double(message: &mut Vec<u8>, field: u64, value: f64) {
    varint(message, field << 3 | 1);
    message.extend(value.to_le_bytes());
}

fn float(message: &mut Vec<u8>, field: u64, value: f32) {
    varint(message, field << 3 | 5);
    message.extend(value.to_le_bytes());
}

fn bytes(message: &mut Vec<u8>, field: u64, value: &[u8]) {
    varint(message, field << 3 | 2);
    varint(message, value.len() as u64);
    message.extend(value);
}

/// Seven bits a byte, the lowest first.
fn varint(message: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        message.push(value as u8 | 0x80);
        value >>= 7;
    }
    message.push(value as u8);
}

fn record(event: &[u8]) -> Vec<u8> {
    let length = (event.len() as u64).to_le_bytes();
    let [of_length, of_event] = [&length[..], event].map(|bytes| masked(crc32c(bytes)).to_le_bytes());
    [&length[..], &of_length, event, &of_event].concat()
}

/// CRC-32 with Castagnoli's polynomial, lowest bit first.
fn crc32c(bytes: &[u8]) -> u32 {
    let bit = |crc: u32| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), |crc, _| bit(crc)))
}

/// As TFRecord stores it: a checksum of bytes that hold their own checksum is weak.
fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_castagnolis() {
        // RFC 3720, B.4, and the usual check value.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn records_are_those_of_tensorboards_own_writer() {
        // tensorboard 2.21: RecordWriter(f).write(Event(wall_time=1.5, file_version="brain.Event:2").SerializeToString())
        let expected = "1800000000000000a37f4b2209000000000000f83f1a0d627261696e2e4576656e743a322a28646c";
        assert_eq!(hex(&record(&first_event(1.5))), expected);
        let row = MetricsRow {
            step: 300,
            epoch: 0.5,
            loss: 0.75,
            grad_norm: 2.0,
            learning_rate: 0.125,
            num_tokens: 1024,
            preference: None,
        };
        // The same of step 300 with the five values as simple_value.
        let expected = "6400000000000000435f1cdf09000000000000f83f10ac022a560a0c0a0565706f6368150000003f0a100a09677261645f6e6f726d15000000400a140a0d6c6561726e696e675f72617465150000003e0a0b0a046c6f7373150000403f0a110a0a6e756d5f746f6b656e731500008044aa355632";
        assert_eq!(hex(&record(&event(1.5, &row))), expected);
    }

    #[test]
    fn a_training_taken_up_goes_on_where_its_metrics_end() {
        let folder = std::env::temp_dir().join(format!("cream-tensorboard-{}", std::process::id()));
        let row = |step| MetricsRow {
            step,
            epoch: 1.0,
            loss: 0.5,
            grad_norm: 1.0,
            learning_rate: 0.1,
            num_tokens: 9,
            preference: None,
        };
        let mut store = Directory::open(&folder).unwrap();
        store.write("t/metrics.jsonl", &cream::to_jsonl(&[row(1), row(2)])).unwrap();
        store.write(&format!("t/{FILE}"), b"of a call that was killed").unwrap();
        let mut events = Events::new((), Some(Log::Tensorboard), &folder).unwrap();
        let update = |done| Update { stage: Stage::Train, output: "t", done, total: 3, tokens: 0, metrics: None };
        events.update(&update(2)).unwrap();
        events.update(&Update { metrics: Some(&row(3)), ..update(3) }).unwrap();
        // Times differ; lengths do not.
        let lengths = [first_event(0.0), event(0.0, &row(1)), event(0.0, &row(2)), event(0.0, &row(3))];
        let expected: usize = lengths.iter().map(|event| record(event).len()).sum();
        let file = store.read(&format!("t/{FILE}")).unwrap().unwrap();
        assert_eq!(file.len(), expected);
        std::fs::remove_dir_all(folder).unwrap();
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
