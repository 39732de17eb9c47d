use std::fs;
use std::path::Path;

use crate::support::{cream, done, fails, folder, prompts, text, tiny_model, words};

/// The tiny model with a chat template that begins every prompt with as many letters as the month has days so far.
fn dated_model(folder: &Path) -> String {
    let model = tiny_model(folder);
    let path = format!("{model}/tokenizer_config.json");
    let config = fs::read_to_string(&path).unwrap();
    let dated = config.replace("\"chat_template\": \"", "\"chat_template\": \"{{ '.' * (strftime_now('%d') | int) }}");
    assert_ne!(dated, config);
    fs::write(&path, dated).unwrap();
    model
}

#[test]
fn a_day_that_is_given_is_the_one_that_templates_print() {
    let folder = folder("date-given");
    let (model, plain) = (dated_model(&folder), tiny_model(&folder.join("plain")));
    let count = |model: &str, date: &str| {
        let args = words!("generate --model {model} --max-prompt-tokens 1 hi{date}");
        let output = cream(&args).output().unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        let words: Vec<&str> = message.split_whitespace().collect();
        let at = words.windows(2).position(|words| words[1] == "tokens,").unwrap();
        words[at].parse::<usize>().unwrap()
    };
    let undated = count(&plain, "");
    assert_eq!(count(&plain, " --date 2026-11-07"), undated);
    assert_eq!(count(&model, " --date 2026-11-07"), undated + 7);
    assert_eq!(count(&model, " --date 2026-11-27"), undated + 27);
    assert!(count(&model, "") > undated, "today");
    fails(
        &words!("generate --model {model} hi --date 2026-02-30"),
        2,
        &["2026-02-30", "expected a day like 2026-11-27"],
    );
}

#[test]
fn a_run_keeps_the_day_on_which_it_began() {
    let folder = folder("date-run");
    let (model, plain, prompts) = (dated_model(&folder), tiny_model(&folder.join("plain")), prompts(&folder, 2));
    let config = |run: &str| fs::read_to_string(format!("{run}/config.toml")).unwrap();
    let [run, today, undated] = ["run", "today", "undated"].map(|name| text(&folder.join(name)));
    let command = |model: &str, run: &str, more: &str| {
        words!(
            "run --model {model} --prompts {prompts} --output {run} --completions 2 --max-new-tokens 4 --cut keep --lora-r 2 --iterations {more}"
        )
    };
    done(&command(&model, &run, "1 --date 2020-01-02"));
    assert!(config(&run).contains("date = \"2020-01-02\"\n"), "{}", config(&run));
    // Taken up on another day, it goes on as it began.
    done(&command(&model, &run, "2"));
    assert!(config(&run).contains("date = \"2020-01-02\"\n"), "{}", config(&run));
    fails(
        &command(&model, &run, "2 --quiet --date 2020-01-03"),
        1,
        &["config.toml", "date", "2020-01-02", "2020-01-03"],
    );
    done(&command(&model, &today, "1"));
    assert!(config(&today).contains("date = \"20"), "{}", config(&today));
    done(&command(&plain, &undated, "1"));
    assert!(!config(&undated).contains("date"), "{}", config(&undated));
}
