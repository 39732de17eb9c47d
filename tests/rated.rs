use serde_json::{Value, json};

use crate::support::{done, fails, file, folder, golden, rows, text, words};

/// The rows of rated.parquet, by prompt: texts, rewards, and a second opinion.
const HI: [(&str, f64, f64); 3] = [("hi", 1.0, 1.0), ("Hi!", 3.0, 3.0), ("no", 2.0, 2.0)];
const SWIMS: [(&str, f64, f64); 3] = [("A fish.", 2.0, 3.0), ("A stone.", 1.0, 1.0), ("Fish", 3.0, 2.0)];
const PROMPTS: [&str; 2] = ["Say \"hi\",\nplease.", "Who swims?"];

fn lines(rows: &[Value]) -> String {
    rows.iter().map(|row| format!("{row}\n")).collect()
}

#[test]
fn rewards_of_any_origin_make_the_same_pairs() {
    let folder = folder("rated");
    let all = || PROMPTS.into_iter().zip([HI, SWIMS]);
    let long: Vec<Value> = all()
        .flat_map(|(prompt, said)| {
            said.map(|(c, r, p)| json!({"prompt": prompt, "completion": c, "reward": r, "previous_reward": p}))
        })
        .collect();
    let wide: Vec<Value> = all()
        .map(|(prompt, said)| {
            let [completions, rewards, previous] =
                [said.map(|of| json!(of.0)), said.map(|of| json!(of.1)), said.map(|of| json!(of.2))];
            json!({"prompt": prompt, "completions": completions, "rewards": rewards, "previous_rewards": previous})
        })
        .collect();
    let csv = "reward,completion,previous_reward,prompt,note\r\n\
               1,hi,1,\"Say \"\"hi\"\",\nplease.\",x\r\n3,Hi!,3.0,\"Say \"\"hi\"\",\nplease.\",\r\n\
               2,no,2,\"Say \"\"hi\"\",\nplease.\",x\r\n2,A fish.,3,Who swims?,\r\n1,A stone.,1,Who swims?,\r\n3,Fish,2e0,Who swims?,\r\n";
    let inputs = [
        file(&folder, "long.jsonl", &lines(&long)),
        file(&folder, "wide.jsonl", &lines(&wide)),
        file(&folder, "array.json", &Value::from(long.clone()).to_string()),
        file(&folder, "rows.CSV", csv),
        text(&golden().join("rated.parquet")),
    ];
    let out = text(&folder.join("pairs.jsonl"));
    // Kendall's tau of the second prompt is 1/3: one of its three pairs is turned round.
    let expected = |[first, second]: [f64; 2]| {
        [
            json!({"id": "0", "prompt": PROMPTS[0], "chosen": "Hi!", "rejected": "hi", "consistency": first}),
            json!({"id": "1", "prompt": PROMPTS[1], "chosen": "Fish", "rejected": "A stone.", "consistency": second}),
        ]
    };
    for input in &inputs {
        done(&words!("pair --input {input} --output {out} --level per-prompt"));
        assert_eq!(rows(&out), expected([1.0, 2.0 / 3.0]), "{input}");
    }
    let report = done(&words!("pair --input {} --output {out} --json", inputs[0]));
    assert_eq!(rows(&out), expected([(1.0 + 2.0 / 3.0) / 2.0; 2]));
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(
        (&report["pairs"], &report["mean_consistency"], &report["mean_reward_margin"]),
        (&json!(2), &json!((1.0 + 2.0 / 3.0) / 2.0), &json!(2.0))
    );
}

#[test]
fn without_a_second_opinion_pairs_are_for_plain_dpo() {
    let folder = folder("rated-once");
    let turns = json!([{"role": "user", "content": "Hi"}]);
    let input = file(
        &folder,
        "r.jsonl",
        &lines(&[
            json!({"id": 7, "messages": turns, "completions": ["a", "b"], "rewards": [1, 0]}),
            json!({"id": 7, "messages": turns, "completion": "c", "reward": 5, "finish": "length"}),
            json!({"id": "x", "messages": turns, "completions": ["a", "b", "c"], "rewards": [1, 1, null]}),
        ]),
    );
    let out = text(&folder.join("pairs.jsonl"));
    let report: Value =
        serde_json::from_str(&done(&words!("pair --input {input} --output {out} --json --cut keep"))).unwrap();
    let turn = |said: &str| json!([{"role": "assistant", "content": said}]);
    let expected = json!({
        "id": "7", "prompt": turns, "chosen": turn("c"), "rejected": turn("b"), "consistency": 1.0, "chosen_finish": "length"
    });
    assert_eq!(rows(&out), [expected]);
    assert_eq!(report["skipped"], json!([{"id": "x", "reason": "all 2 rewards are equal"}]));
    assert!(report["notes"][0].as_str().unwrap().contains("no consistency is measured"), "{report}");
    // What was cut is ranked, but not chosen.
    done(&words!("pair --input {input} --output {out}"));
    assert_eq!(rows(&out)[0]["chosen"], turn("a"));
}

#[test]
fn what_is_wrong_with_rated_rows_is_named() {
    let folder = folder("rated-wrong");
    let out = text(&folder.join("pairs.jsonl"));
    for (name, contents, expected) in [
        ("a.csv", "prompt,completion,score\nx,y,1\n", "a.csv: line 1: no \"reward\", expected a number or null"),
        ("b.csv", "prompt,completion,reward\nx,y,high\n", "b.csv: line 1: \"reward\" is \"high\", expected a number"),
        ("c.csv", "prompt,completion,reward\nx,y\n", "c.csv: CSV error: record 1"),
        ("d.csv", "", "d.csv: no rows"),
        ("e.csv", "prompt,completion,reward\nx,y,1\n", "prompt \"0\": 1 completion, expected at least 2"),
        (
            "f.jsonl",
            "{\"id\":1,\"prompt\":\"x\",\"completion\":\"y\",\"reward\":1}\n{\"id\":1,\"prompt\":\"z\",\"completion\":\"y\",\"reward\":1}\n",
            "prompt \"1\": several prompts in the rows of this id",
        ),
    ] {
        let input = file(&folder, name, contents);
        fails(&words!("pair --input {input} --output {out}"), 1, &[expected]);
    }
    let input = file(&folder, "g.csv", "prompt,completion,reward\nx,y,1\nx,z,2\n");
    for (flags, expected) in [
        ("--reward implicit", "--reward: the rewards are those of --input"),
        ("--rejected-from initial", "rejected_from: initial, expected current"),
        ("--train-reference initial", "--train-reference: the rows of --input are of no model"),
    ] {
        fails(&words!("pair --input {input} --output {out} {flags}"), 1, &[expected]);
    }
    fails(&words!("pair --input {input} --output {out} --current {input}"), 2, &["--current"]);
    fails(&words!("pair --output {out}"), 2, &["--current"]);
    fails(&words!("pair --input {input} --output {input}"), 1, &["--input", "read from there"]);
    assert!(!folder.join("pairs.jsonl").exists());
}
