use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{cream, done, fails, file, folder, golden, text, tiny_model};

/// Imports `contents`; the rows that come out.
fn import(folder: &Path, name: &str, contents: &str, rest: &[&str]) -> Vec<Value> {
    let (input, output) = (file(folder, name, contents), text(&folder.join("out.jsonl")));
    done(&[&["import", "--input", &input, "--output", &output][..], rest].concat());
    fs::read_to_string(&output).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn turn(role: &str, content: &str) -> Value {
    json!({"role": role, "content": content})
}

/// Bytes of the headers of pages: with one of them wrong the parquet crate panics.
const PANICS: [usize; 5] = [858, 935, 1085, 1195, 1278];

#[test]
fn parquet_of_the_hub_becomes_a_task() {
    let folder = folder("import-parquet");
    let (input, output) = (text(&golden().join("questions.parquet")), text(&folder.join("task.jsonl")));
    done(&["import", "--input", &input, "--output", &output]);
    let rows: Vec<Value> =
        fs::read_to_string(&output).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        rows[1],
        json!({"id": "q2", "question": "Wie heißt „two“ auf Deutsch?", "choices": ["eins", "zwei", "drei", "fünf"], "answer": 1})
    );
    assert_eq!(rows.iter().map(|row| row["answer"].as_u64().unwrap()).collect::<Vec<_>>(), [0, 1, 1]);
    let model = tiny_model(&folder);
    let report: Value = serde_json::from_str(&done(&["eval", "--model", &model, "--task", &output, "--json"])).unwrap();
    assert_eq!((&report["task"], &report["n"]), (&json!("task"), &json!(3)));
    // Cut short it is refused in one line.
    let cut = folder.join("cut.parquet");
    fs::write(&cut, &fs::read(&input).unwrap()[..900]).unwrap();
    fails(&["import", "--input", &text(&cut), "--output", &output], 1, &["cut.parquet"]);
    // A byte is wrong, all over the file: rows or one line, never a panic.
    let sound = fs::read(golden().join("questions.parquet")).unwrap();
    for place in (4..sound.len()).step_by(sound.len() / 60).chain(PANICS) {
        let damaged = folder.join("damaged.parquet");
        let mut bytes = sound.clone();
        bytes[place] ^= 0x55;
        fs::write(&damaged, bytes).unwrap();
        let ended = cream(&["import", "--input", &text(&damaged), "--output", &output]).output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(matches!(ended.status.code(), Some(0 | 1)) && !said.contains("panicked"), "byte {place}: {said}");
    }
}

#[test]
fn every_shape_becomes_what_it_suits() {
    let folder = folder("import-shapes");
    let hi = [turn("user", "Hi")];
    let chat = json!([turn("user", "Hi"), turn("assistant", "Hello")]);
    let choices = json!({"text": ["x", "y"], "label": ["1", "2"]});
    for (row, expected) in [
        // Multiple choice.
        (
            json!({"id": 3, "question": "q", "choices": choices, "answerKey": "2"}),
            json!({"id": "3", "question": "q", "choices": ["x", "y"], "answer": 1}),
        ),
        (
            json!({"question_stem": "q", "choices": [{"text": "x", "label": "A"}, {"text": "y", "label": "B"}], "answerKey": "B"}),
            json!({"id": "shape-1", "question": "q", "choices": ["x", "y"], "answer": 1}),
        ),
        (
            json!({"question": {"stem": "q", "choices": [{"text": "x", "label": "A"}, {"text": "y", "label": "B"}]}, "answerKey": "A"}),
            json!({"id": "shape-1", "question": "q", "choices": ["x", "y"], "answer": 0}),
        ),
        (
            json!({"question": "q", "choices": ["x", "y"], "answer": 1, "subject": "s"}),
            json!({"id": "shape-1", "question": "q", "choices": ["x", "y"], "answer": 1}),
        ),
        (
            json!({"question": "q", "choices": choices, "answerKey": ""}),
            json!({"id": "shape-1", "prompt": "q\nA. x\nB. y"}),
        ),
        // Written answers.
        (
            json!({"question": "2 + 2?", "answer": "2 + 2 = 4\n#### 4"}),
            json!({"id": "shape-1", "prompt": "2 + 2?", "answer": "2 + 2 = 4\n#### 4"}),
        ),
        // Preferences.
        (
            json!({"prompt": "Hi", "chosen": "Hello", "rejected": "No"}),
            json!({"id": "shape-1", "prompt": "Hi", "chosen": "Hello", "rejected": "No"}),
        ),
        (
            json!({"prompt": "Hi", "chosen": chat, "rejected": [turn("user", "Hi"), turn("assistant", "No")]}),
            json!({"id": "shape-1", "messages": hi, "chosen": "Hello", "rejected": "No"}),
        ),
        (
            json!({"prompt": hi, "chosen": [turn("assistant", "Hello")], "rejected": [turn("assistant", "No")]}),
            json!({"id": "shape-1", "messages": hi, "chosen": "Hello", "rejected": "No"}),
        ),
        (
            json!({"conversations": [{"from": "human", "value": "Hi"}], "chosen": {"from": "gpt", "value": "Hello"}, "rejected": {"from": "gpt", "value": "No"}}),
            json!({"id": "shape-1", "messages": hi, "chosen": "Hello", "rejected": "No"}),
        ),
        // Answers to imitate.
        (json!({"messages": chat}), json!({"messages": hi, "completion": "Hello"})),
        (
            json!({"instruction": "Add.", "input": "1 2", "output": "3"}),
            json!({"prompt": "Add.\n\n1 2", "completion": "3"}),
        ),
        (
            json!({"instruction": "Hi", "input": "", "output": "Hello", "system": "Be kind."}),
            json!({"messages": [turn("system", "Be kind."), turn("user", "Hi")], "completion": "Hello"}),
        ),
        (
            json!({"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]}),
            json!({"messages": hi, "completion": "Hello"}),
        ),
        (json!({"prompt": "Hi", "completion": "Hello"}), json!({"prompt": "Hi", "completion": "Hello"})),
        // Prompts.
        (json!({"id": "a", "messages": hi}), json!({"id": "a", "messages": hi})),
        (json!({"question": "q"}), json!({"id": "shape-1", "prompt": "q"})),
    ] {
        assert_eq!(import(&folder, "shape.jsonl", &row.to_string(), &[]), [expected], "{row}");
    }
}

#[test]
fn the_target_can_be_named() {
    let folder = folder("import-targets");
    let question = json!({"id": "a", "question": "q", "choices": ["x", "y"], "answer": "B"}).to_string();
    let read = |target: &str| import(&folder, "q.jsonl", &question, &["--as", target]);
    assert_eq!(read("prompts"), [json!({"id": "a", "prompt": "q\nA. x\nB. y"})]);
    assert_eq!(read("sft"), [json!({"prompt": "q\nA. x\nB. y", "completion": "B. y"})]);
    assert_eq!(read("task"), [json!({"id": "a", "question": "q", "choices": ["x", "y"], "answer": 1})]);
    // An array, as Alpaca's own file is, with lines that are no rows.
    let array =
        "\u{feff} [\n{\"instruction\": \"i\",\n\"output\": \"o\"}, {\"instruction\": \"j\", \"output\": \"p\"}]";
    assert_eq!(
        import(&folder, "alpaca_data.json", array, &["--as", "prompts"]),
        [json!({"id": "alpaca_data-1", "prompt": "i"}), json!({"id": "alpaca_data-2", "prompt": "j"})]
    );
}

#[test]
fn bad_rows_are_named_or_counted() {
    let folder = folder("import-mistakes");
    let output = text(&folder.join("out.jsonl"));
    let good = "{\"id\":1,\"question\":\"q\",\"answer\":\"x\"}\n";
    for (line, expected) in [
        (
            "{\"text\":\"x\"}".as_bytes(),
            "line 2: none of the shapes that `cream import --help` lists; the row has \"text\"",
        ),
        (b"{\"id\":1,\"question\":\"r\",\"answer\":\"x\"}", "line 2: id \"1\" was seen before, on line 1"),
        (b"{\"question\":5,\"answer\":\"x\"}", "line 2: \"question\" is 5, expected a string or a list of messages"),
        (
            b"{\"question\":\"q\",\"choices\":{\"text\":[\"x\"],\"label\":[]},\"answerKey\":\"A\"}",
            "line 2: \"choices\" is {",
        ),
        (
            b"{\"question\":\"q\",\"choices\":[\"x\",\"y\"],\"answerKey\":\"C\"}",
            "line 2: \"answer\" is \"C\", expected",
        ),
        (b"{\"conversations\":[{\"from\":\"tool\",\"value\":\"x\"}]}", "line 2: \"conversations\" is ["),
        (b"{\"messages\":[{\"role\":\"assistant\",\"content\":\"x\"}]}", "line 2: no turn before the assistant's"),
        (b"{\"chosen\":\"x\",\"rejected\":\"y\"}", "line 2: none of the shapes"),
        (b"{\"question\":\"q\"}", "line 2: neither a right answer nor a preference, expected one for --as task"),
        (b"{\"question\":\"\xff\"}", "line 2: not UTF-8 at byte 14"),
        (b"{\"question\":\"q\"", "line 2: column 15: not JSON"),
    ] {
        let input = folder.join("bad.jsonl");
        fs::write(&input, [good.as_bytes(), line, b"\n"].concat()).unwrap();
        let args = ["import", "--input", &text(&input), "--output", &output];
        fails(&args, 1, &[&format!("bad.jsonl: {expected}")]);
        assert!(!Path::new(&output).exists());
        let skipping = cream(&[&args[..], &["--skip-bad"]].concat()).output().unwrap();
        let stderr = String::from_utf8(skipping.stderr).unwrap();
        assert!(
            stderr.contains("1 bad lines passed over, the first: ") && stderr.contains("1 rows for task"),
            "{stderr}"
        );
        fs::remove_file(&output).unwrap();
    }
    let array = file(&folder, "broken.json", "[{\"a\": 1},");
    fails(&["import", "--input", &array, "--output", &output], 1, &["broken.json: expected a JSON array of rows: EOF"]);
    let empty = file(&folder, "empty.json", "[]");
    fails(&["import", "--input", &empty, "--output", &output], 1, &["empty.json: no rows"]);
    fails(&["import", "--input", &text(&folder.join("none")), "--output", &output], 1, &["cannot read", "none"]);
}

#[test]
fn a_line_of_a_hundred_megabytes_takes_no_memory() {
    let folder = folder("import-long");
    let input = folder.join("long.jsonl");
    let good = |id: u32| format!("{{\"id\":{id},\"question\":\"q\",\"answer\":\"x\"}}\n");
    fs::write(&input, [good(1).into_bytes(), vec![b'x'; 100 << 20], b"\n".to_vec(), good(2).into_bytes()].concat())
        .unwrap();
    let (input, output) = (text(&input), text(&folder.join("out.jsonl")));
    let args = ["import", "--input", &input, "--output", &output];
    fails(&args, 1, &["long.jsonl: line 2: longer than 16777216 bytes"]);
    let skipping = cream(&[&args[..], &["--skip-bad"]].concat()).output().unwrap();
    assert!(String::from_utf8(skipping.stderr).unwrap().contains("long.jsonl: 1 bad lines passed over"));
    assert_eq!(fs::read_to_string(&output).unwrap().lines().count(), 2);
    fs::remove_dir_all(&folder).unwrap();
}
