//! Rows of any bytes are refused or read, by every reader; texts that are read are written and read again as the same.
#![no_main]

use cream::{
    Completions, Pair, PairOptions, Prompt, Rated, Rewards, Row, Scores, SftRow, Task, label, read_jsonl, to_jsonl,
};
use libfuzzer_sys::fuzz_target;

fn there_and_back<R: Row + serde::Serialize + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
    if let Ok(rows) = read_jsonl::<R>("rows", bytes) {
        assert_eq!(read_jsonl::<R>("rows", &*to_jsonl(&rows)).expect("what was written"), rows);
    }
}

fuzz_target!(|bytes: &[u8]| {
    there_and_back::<Prompt>(bytes);
    there_and_back::<SftRow>(bytes);
    there_and_back::<Completions>(bytes);
    let _ = read_jsonl::<Scores>("rows", bytes);
    let _ = read_jsonl::<Pair>("rows", bytes);
    let _ = read_jsonl::<Rewards>("rows", bytes);
    if let Ok(rows) = read_jsonl::<Rated>("rows", bytes) {
        let _ = label(&rows, &PairOptions::default());
    }
    let _ = Task::read("rows", "rows", bytes, &mut Err);
});
