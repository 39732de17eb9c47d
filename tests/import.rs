use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{cream, done, fails, file, folder, golden, rows, text, tiny_model};

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
fn parquet_reads_in_every_compression() {
    let folder = folder("import-compressions");
    let read = |name: &str| {
        let (input, output) = (text(&golden().join(name)), text(&folder.join("out.jsonl")));
        let ended = cream(&["import", "--input", &input, "--output", &output]).output().unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert!(ended.status.success(), "{name}: {said}");
        (rows(&output), said)
    };
    let (expected, _) = read("questions.parquet");
    for codec in ["none", "zstd", "gzip", "brotli", "lz4"] {
        assert_eq!(read(&format!("questions.{codec}.parquet")).0, expected, "{codec}");
    }
    let (rows, said) = read("dolly.parquet");
    assert_eq!(rows[0], json!({"prompt": "Who swims?\n\nFish swim.", "completion": "Fish."}));
    assert_eq!(rows[1], json!({"prompt": "Say hello.", "completion": "Hello!"}));
    assert!(said.contains("dolly.parquet: columns that are not used: \"category\", \"embedding\""), "{said}");
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

/// Imports one row: what comes out, and the columns that are said not to be used.
fn import_one(folder: &Path, row: &Value, rest: &[&str]) -> (Value, String) {
    let (input, output) = (file(folder, "one.jsonl", &row.to_string()), text(&folder.join("out.jsonl")));
    let ended = cream(&[&["import", "--input", &input, "--output", &output][..], rest].concat()).output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(ended.status.success(), "{row}: {said}");
    let not_used = said.lines().find_map(|line| line.split_once(": columns that are not used: "));
    let row = serde_json::from_str(&fs::read_to_string(&output).unwrap()).unwrap();
    (row, not_used.map_or_else(String::new, |(_, names)| names.to_owned()))
}

#[test]
fn every_column_is_used_or_listed() {
    let folder = folder("import-columns");
    let (hi, two) = (json!([turn("user", "Hi")]), json!(["x", "y"]));
    let hello = json!([turn("user", "Hi"), turn("assistant", "Hello")]);
    let no = json!([turn("user", "Hi"), turn("assistant", "No")]);
    let task = |question: &str, choices: &Value, answer: u32| json!({"id": "one-1", "question": question, "choices": choices, "answer": answer});
    let hh = |last: &str| format!("\n\nHuman: Hi\n\nAssistant: Ho\n\nHuman: So?\n\nAssistant: {last}");
    for (row, expected, not_used) in [
        // Answers to imitate.
        (
            json!({"instruction": "Who?", "context": "Fish swim.", "response": "Fish", "category": "closed_qa"}),
            json!({"prompt": "Who?\n\nFish swim.", "completion": "Fish"}),
            "\"category\"",
        ),
        (
            json!({"instruction": "Add.", "input": "1 2", "output": "3", "text": "### Add.\n### 1 2\n### 3", "history": []}),
            json!({"prompt": "Add.\n\n1 2", "completion": "3"}),
            "\"text\"",
        ),
        (
            json!({"system_prompt": "Be kind.", "question": "Hi", "response": "Hello", "score": 0}),
            json!({"messages": [turn("system", "Be kind."), turn("user", "Hi")], "completion": "Hello"}),
            "\"score\"",
        ),
        (
            json!({"prompt": "Hi", "prompt_id": "p", "messages": hello}),
            json!({"messages": hi, "completion": "Hello"}),
            "\"prompt\", \"prompt_id\"",
        ),
        (
            json!({"conversations": "[{\"from\": \"human\", \"value\": \"Hi\"}, {\"from\": \"gpt\", \"value\": \"Hello\"}]", "tools": ""}),
            json!({"messages": hi, "completion": "Hello"}),
            "",
        ),
        (
            json!({"messages": [{"role": "prompter", "text": "Hi"}, {"role": "assistant", "text": "Hello"}], "lang": "en"}),
            json!({"messages": hi, "completion": "Hello"}),
            "\"lang\"",
        ),
        (
            json!({"prompt": "Hi", "completion": "Hello", "label": true}),
            json!({"prompt": "Hi", "completion": "Hello"}),
            "",
        ),
        // Right answers.
        (
            json!({"id": "s", "title": "T", "context": "Fish swim.", "question": "Who?", "answers": {"text": ["Fish", "Fish"], "answer_start": [0, 0]}}),
            json!({"id": "s", "prompt": "Fish swim.\n\nWho?", "answer": "Fish"}),
            "\"title\"",
        ),
        (
            json!({"question": "Do fish swim?", "passage": "Fish swim.", "answer": true}),
            task("Fish swim.\n\nDo fish swim?", &json!(["no", "yes"]), 1),
            "",
        ),
        // Multiple choice.
        (
            json!({"article": "Fish swim.", "question": "Who?", "options": two, "answer": "B", "example_id": "e"}),
            task("Fish swim.\n\nWho?", &two, 1),
            "\"example_id\"",
        ),
        (
            json!({"ind": 4, "activity_label": "a", "ctx_a": "A man.", "ctx_b": "he", "ctx": "A man. he", "endings": two, "label": "1"}),
            task("A man. he", &two, 1),
            "\"activity_label\", \"ind\"",
        ),
        (json!({"goal": "q", "sol1": "x", "sol2": "y", "label": 1}), task("q", &two, 1), ""),
        (
            json!({"context": "c", "question": "q", "answerA": "x", "answerB": "y", "label": "2"}),
            task("c\n\nq", &two, 1),
            "",
        ),
        (
            json!({"context": "c", "question": "q", "answerA": "x", "answerB": "y", "correct": "B"}),
            task("c\n\nq", &two, 1),
            "",
        ),
        (json!({"question": "q", "A": "x", "B": "y", "answer": "B"}), task("q", &two, 1), ""),
        (
            json!({"question": "q", "option_a": "x", "option_b": "y", "option_c": "", "answer": "b"}),
            task("q", &two, 1),
            "",
        ),
        (
            json!({"question": "q", "options": {"A": "x", "B": "y", "C": null}, "answer": "y", "answer_idx": "B"}),
            task("q", &two, 1),
            "",
        ),
        (json!({"question": "q", "choices": "[\"x\", \"y\"]", "answer": 1}), task("q", &two, 1), ""),
        (
            json!({"messages": hi, "choices": two}),
            json!({"id": "one-1", "messages": [turn("user", "Hi\nA. x\nB. y")]}),
            "",
        ),
        // Preferences.
        (
            json!({"prompt": "Hi", "chosen": hello, "rejected": no, "messages": hello, "score_chosen": 9.5}),
            json!({"id": "one-1", "messages": hi, "chosen": "Hello", "rejected": "No"}),
            "\"messages\", \"prompt\", \"score_chosen\"",
        ),
        (
            json!({"chosen": hh("good"), "rejected": hh("bad")}),
            json!({"id": "one-1", "messages": [turn("user", "Hi"), turn("assistant", "Ho"), turn("user", "So?")], "chosen": "good", "rejected": "bad"}),
            "",
        ),
        (
            json!({"prompt": "\n\nHuman: Hi\n\nAssistant:", "chosen": " Hello", "rejected": " No"}),
            json!({"id": "one-1", "messages": hi, "chosen": "Hello", "rejected": "No"}),
            "",
        ),
        (
            json!({"system": "Be kind.", "question": "Hi", "chosen": "Hello", "rejected": "No"}),
            json!({"id": "one-1", "messages": [turn("system", "Be kind."), turn("user", "Hi")], "chosen": "Hello", "rejected": "No"}),
            "",
        ),
        // Prompts.
        (json!({"prompt": "[{\"role\": \"user\", \"content\": \"Hi\"}]"}), json!({"id": "one-1", "messages": hi}), ""),
        (
            json!({"messages": [{"role": "user", "content": [{"type": "text", "text": "H"}, {"type": "text", "text": "i"}]}], "id": null}),
            json!({"id": "one-1", "messages": hi}),
            "",
        ),
    ] {
        assert_eq!(import_one(&folder, &row, &[]), (expected, not_used.to_owned()), "{row}");
    }
}

#[test]
fn an_answer_key_is_a_label_where_labels_are_given() {
    let folder = folder("import-keys");
    let four = json!(["w", "x", "y", "z"]);
    let labelled = |labels: [&str; 4]| json!({"text": four, "label": labels});
    let (numbers, letters) = (labelled(["1", "2", "3", "4"]), labelled(["A", "B", "C", "D"]));
    for (row, answer) in [
        (json!({"choices": numbers, "answerKey": "1"}), 0),
        (json!({"choices": numbers, "answerKey": 1}), 0),
        (json!({"choices": numbers, "answer": 3}), 2),
        (json!({"choices": {"text": four, "label": [1, 2, 3, 4]}, "answer": 1}), 0),
        (json!({"choices": four, "labels": ["1", "2", "3", "4"], "answer": 1}), 0),
        (json!({"choices": letters, "answerKey": "(b)"}), 1),
        (json!({"choices": letters, "answer": 1}), 1),
        (json!({"choices": four, "answer": 1}), 1),
        (json!({"choices": {"text": ["B", "A", "D", "C"], "label": ["A", "B", "C", "D"]}, "answerKey": "B"}), 1),
        (json!({"choices": {"B": "w", "A": "x", "D": "A", "C": "z"}, "answer": "A"}), 0),
        (json!({"choices": [{"key": "B", "value": "w"}, {"key": "A", "value": "x"}], "answer": "A"}), 1),
        (json!({"endings": four, "label": "0"}), 0),
    ] {
        let mut row = row;
        row["question"] = json!("q");
        assert_eq!(import_one(&folder, &row, &[]).0["answer"], answer, "{row}");
    }
    for (row, expected) in [
        (json!({"choices": numbers, "answerKey": 0}), "\"answerKey\" is 0, expected one of the labels 1, 2, 3, 4"),
        (
            json!({"choices": letters, "answerKey": "E"}),
            "\"answerKey\" is \"E\", expected one of the labels A, B, C, D",
        ),
        (json!({"choices": letters, "answer": 4}), "\"answer\" is 4, expected the right choice: its index from 0"),
        (
            json!({"choices": four, "answer": "1"}),
            "\"answer\" is \"1\", expected the right choice: its index from 0 as a number",
        ),
        (json!({"choices": four, "answer": 4}), "\"answer\" is 4, expected"),
        (json!({"choices": ["2", "1"], "answer": "1"}), ""),
        (json!({"choices": ["1", "0"], "answer": "1"}), "the text of one choice and the index of another"),
        (json!({"choices": ["x", "x"], "answer": "x"}), "the text of more than one choice"),
        (json!({"choices": labelled(["A", "B", "B", "C"]), "answerKey": "B"}), "two choices are labelled \"B\""),
        (
            json!({"options": four, "answer": "C", "answer_index": 1}),
            "\"answer\" and \"answer_index\" name different choices",
        ),
        (json!({"sol1": "x", "sol2": "y", "label": "1"}), "\"label\" is \"1\", expected the right choice"),
        (json!({"answerA": "x", "answerB": "y", "label": 1}), "\"label\" is 1, expected A, B, or a number from 1"),
        (json!({"choices": "['x', 'y']", "answer": 1}), "\"choices\" is \"['x', 'y']\", expected a list"),
    ] {
        let mut row = row;
        row["question"] = json!("q");
        let (input, output) = (file(&folder, "key.jsonl", &row.to_string()), text(&folder.join("out.jsonl")));
        if expected.is_empty() {
            done(&["import", "--input", &input, "--output", &output]);
        } else {
            fails(&["import", "--input", &input, "--output", &output], 1, &["key.jsonl: line 1: ", expected]);
        }
    }
}

#[test]
fn what_is_not_understood_is_refused_by_name() {
    let folder = folder("import-refused");
    let asks = [turn("user", "Hi")];
    let answered = json!({"role": "assistant", "content": "Hello"});
    for (row, expected) in [
        // Columns that belong to the question.
        (json!({"question": "q", "answer": "a", "hint": "h"}), "\"hint\" is \"h\": it belongs to the question"),
        (json!({"question": "q", "answer": "a", "premise": "p"}), "\"premise\" is \"p\": it belongs"),
        (json!({"question": "q", "answer": "a", "input": 5}), "\"input\" is 5: it belongs"),
        (json!({"prompt": "q", "completion": "a", "context": "c"}), "\"context\" is \"c\": it belongs"),
        (json!({"prompt": "q", "completion": "a", "options": ["x"]}), "\"options\""),
        (json!({"prompt": "q", "choices": ["x", "y"], "choice_c": "z"}), "\"choice_c\" is \"z\": it belongs"),
        (json!({"question": "q", "A": "x", "B": "y", "D": "z"}), "\"D\" is \"z\": it belongs"),
        (
            json!({"instruction": "i", "output": "o", "history": [["a", "b"]]}),
            "\"history\" is [[\"a\",\"b\"]]: it belongs",
        ),
        (json!({"messages": asks, "tools": [{"name": "f"}]}), "\"tools\" is [{\"name\":\"f\"}]: it belongs"),
        (json!({"messages": asks, "images": [{"bytes": "x"}]}), "\"images\" is [{\"bytes\":\"x\"}]: it belongs"),
        (json!({"messages": asks, "context": "c"}), "\"context\" is \"c\": it belongs"),
        (
            json!({"question": "q", "answer": "a", "context": {"title": ["t"]}}),
            "\"context\" is {\"title\":[\"t\"]}, expected a string",
        ),
        (json!({"question": "q", "distractor1": "x", "correct_answer": "y"}), "\"distractor1\" is \"x\": it belongs"),
        // Answers under names that are not known.
        (json!({"problem": "p", "solution": "s"}), "\"solution\" looks like an answer"),
        (json!({"prompt": "p", "response_0": "s", "response_1": "t"}), "\"response_0\" looks like an answer"),
        (json!({"question": "q", "passage": "p", "label": 1}), "\"label\" looks like an answer"),
        // Answers that nobody wants.
        (json!({"prompt": "p", "completion": "c", "label": false}), "\"label\" is false, expected true"),
        (json!({"prompt": asks, "completion": [answered], "label": 0}), "\"label\" is 0, expected true"),
        (json!({"messages": [asks[0], answered], "is_chosen": "no"}), "\"is_chosen\" is \"no\", expected true"),
        (json!({"instruction": "i", "output": "o", "desirable": false}), "\"desirable\" is false, expected true"),
        (json!({"prompt": "p", "completion": "c", "chosen": false}), "\"chosen\" is false, expected true"),
        (json!({"question": "q", "answer": "a", "is_correct": false}), "\"is_correct\" is false, expected true"),
        (json!({"prompt": "p", "completion": ""}), "the answer to imitate is empty"),
        // Messages.
        (json!({"messages": [turn("tool", "x")]}), "\"messages\", turn 1: \"role\" is \"tool\", expected"),
        (
            json!({"messages": [{"role": "user", "content": [{"type": "image", "image": "x"}]}]}),
            "\"messages\", turn 1: \"content\" has a part {",
        ),
        (
            json!({"messages": [asks[0], {"role": "assistant", "content": "", "tool_calls": [{"name": "f"}]}]}),
            "\"messages\", turn 2: \"tool_calls\" is ",
        ),
        (
            json!({"messages": [asks[0], {"role": "assistant", "content": "x", "weight": 0}]}),
            "\"messages\", turn 2: \"weight\" is 0",
        ),
        (json!({"messages": [turn("user", "")]}), "\"messages\", turn 1: \"content\" is \"\""),
        (json!({"messages": [asks[0], turn("system", "s")]}), "the prompt ends with the system's turn"),
        (json!({"system": "s", "messages": [turn("system", "t"), asks[0]]}), "\"system\" is another than"),
        (json!({"conversation": [{"input": "x", "output": "y"}]}), "\"conversation\", turn 1: no \"role\""),
        // Preferences and answers of other forms.
        (
            json!({"chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "\n\nHuman: c\n\nAssistant: d"}),
            "\"chosen\" and \"rejected\" differ before their last turn",
        ),
        (
            json!({"chosen": "\n\nHuman: a\n\nAssistant: b\n\nHuman: c", "rejected": "x"}),
            "\"chosen\" does not end with",
        ),
        (json!({"question": "q", "answers": {"text": ["a", "b"]}}), "2 right answers, expected one for --as task"),
        (json!({"question": "q", "answer": {"value": "a"}}), "\"answer\" is {\"value\":\"a\"}, expected a string"),
    ] {
        let (input, output) = (file(&folder, "row.jsonl", &row.to_string()), text(&folder.join("out.jsonl")));
        fails(&["import", "--input", &input, "--output", &output], 1, &["row.jsonl: line 1: ", expected]);
        assert!(!Path::new(&output).exists(), "{row}");
    }
    // To ask is not to imitate.
    let row = json!({"id": 1, "prompt": "p", "completion": "c", "label": false});
    assert_eq!(import_one(&folder, &row, &["--as", "prompts"]).0, json!({"id": "1", "prompt": "p"}));
    // A name made for a row is not another's.
    let two = file(&folder, "two.jsonl", "{\"id\":\"two-2\",\"prompt\":\"p\"}\n{\"id\":null,\"prompt\":\"q\"}");
    let output = text(&folder.join("out.jsonl"));
    fails(&["import", "--input", &two, "--output", &output], 1, &["two.jsonl: line 2: no id, and \"two-2\""]);
}

#[test]
fn verbs_refuse_what_import_refuses() {
    let folder = folder("import-verbs");
    let (model, output) = (tiny_model(&folder), text(&folder.join("out")));
    for (verb, flag, row, expected) in [
        (
            "sft",
            "--data",
            json!({"prompt": "p", "completion": "c", "label": false}),
            "\"label\" is false, expected true",
        ),
        ("sft", "--data", json!({"prompt": "p", "completion": "c", "system": "s"}), "\"system\" is \"s\": it belongs"),
        ("sample", "--prompts", json!({"id": 1, "prompt": "p", "context": "c"}), "\"context\" is \"c\": it belongs"),
        (
            "sample",
            "--prompts",
            json!({"id": 1, "messages": [{"role": "tool", "content": "x"}]}),
            "\"messages\", turn 1: \"role\" is \"tool\", expected",
        ),
        (
            "score",
            "--input",
            json!({"id": 1, "prompt": "p", "completions": ["c"], "images": ["i"]}),
            "\"images\" is [\"i\"]",
        ),
        ("eval", "--task", json!({"question": "q", "answer": 1, "passage": "p"}), "\"passage\" is \"p\": it belongs"),
    ] {
        let input = file(&folder, "rows.jsonl", &row.to_string());
        fails(&[verb, "--model", &model, flag, &input, "--output", &output], 1, &["rows.jsonl: line 1: ", expected]);
    }
}

#[test]
fn files_of_other_kinds_are_named() {
    let folder = folder("import-kinds");
    let (model, output) = (tiny_model(&folder), text(&folder.join("out")));
    let row = "{\"id\":1,\"prompt\":\"p\"}\n";
    let utf16 = |order: fn(u16) -> [u8; 2], text: &str| text.encode_utf16().flat_map(order).collect::<Vec<u8>>();
    for (bytes, expected, sampled) in [
        ([b"\xff\xfe", &utf16(u16::to_le_bytes, row)[..]].concat(), "UTF-16, expected JSON lines in UTF-8", ""),
        (utf16(u16::to_be_bytes, row), "UTF-16, expected JSON lines in UTF-8", ""),
        (utf16(u16::to_le_bytes, &format!("[{row}]")), "UTF-16, expected JSON lines in UTF-8", ""),
        (b"\x1f\x8b\x08\0\0\0\0\0".into(), "compressed with gzip, expected", ""),
        (b"\x28\xb5\x2f\xfd\x04\0".into(), "compressed with zstd, expected", ""),
        (b"PK\x03\x04\x14\0".into(), "a zip archive, expected", ""),
        (b"{\"id\":1,\"prompt\":\"\\ud800\"}".into(), "line 1: column 25: a lone surrogate", ""),
        (b"{\"id\":1,\"prompt\":\"\\udc00\"}".into(), ": a lone surrogate", ""),
        (
            b"[{\"id\":1,\n\"prompt\":\"\\ud800\"}]".into(),
            "line 2, column 17: a lone surrogate",
            "a JSON array, expected",
        ),
        (b"<!DOCTYPE html>".into(), "a web page, expected", ""),
        (
            fs::read(golden().join("bytes.parquet")).unwrap(),
            "column \"question\" holds bytes",
            "a parquet file, expected JSON lines in UTF-8: `cream import` turns",
        ),
    ] {
        let path = folder.join("data.jsonl");
        fs::write(&path, bytes).unwrap();
        let input = text(&path);
        fails(&["import", "--input", &input, "--output", &output], 1, &["data.jsonl: ", expected]);
        let sampled = if sampled.is_empty() { expected } else { sampled };
        let sample = ["sample", "--model", &model, "--prompts", &input, "--output", &output];
        fails(&sample, 1, &["data.jsonl: ", sampled]);
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
            "line 2: \"answerKey\" is \"C\", expected",
        ),
        (
            b"{\"conversations\":[{\"from\":\"tool\",\"value\":\"x\"}]}",
            "line 2: \"conversations\", turn 1: \"role\" is \"tool\", expected",
        ),
        (b"{\"messages\":[{\"role\":\"assistant\",\"content\":\"x\"}]}", "line 2: no turn before the assistant's"),
        (
            b"{\"chosen\":\"x\",\"rejected\":\"y\"}",
            "line 2: no prompt beside \"chosen\" and \"rejected\", which are no",
        ),
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
            stderr.contains("1 bad rows passed over, the first: ") && stderr.contains("1 rows for task"),
            "{stderr}"
        );
        fs::remove_file(&output).unwrap();
    }
    let array = file(&folder, "broken.json", "[{\"a\": 1},");
    let expected = "broken.json: expected a JSON array of rows: line 1, column 10: not JSON: EOF";
    fails(&["import", "--input", &array, "--output", &output], 1, &[expected]);
    let twice = "{\"question\":\"a\",\"answer\":\"b\",\"question\":\"c\"}";
    for (name, text) in [("twice.json", format!("[{twice}]")), ("twice.jsonl", twice.to_owned())] {
        let input = file(&folder, name, &text);
        fails(&["import", "--input", &input, "--output", &output], 1, &["the key \"question\" is there twice"]);
    }
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
    assert!(String::from_utf8(skipping.stderr).unwrap().contains("long.jsonl: 1 bad rows passed over"));
    assert_eq!(fs::read_to_string(&output).unwrap().lines().count(), 2);
    fs::remove_dir_all(&folder).unwrap();
}
