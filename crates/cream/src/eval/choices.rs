//! Multiple choice by log-likelihood.

use cream_engine::{Finish, Group};

use super::{ChoiceRow, EvalOptions, Measures, Outcome, share};
use crate::budget::outline;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::policy::{Encoder, Policy};
use crate::progress::{Progress, Stage, Update};
use crate::rows::{Completion, Turns};
use crate::score::{fitting_tokens, group_logps};

/// All questions and their choices as tokens.
pub(super) fn prepare(encoder: Encoder<'_>, rows: &[ChoiceRow], options: &EvalOptions) -> Result<Vec<Group>> {
    rows.iter().map(|row| group(encoder, row, options.chat)).collect()
}

pub(super) async fn evaluate<M: Model>(
    policy: Policy<'_, M>,
    name: &str,
    rows: &[ChoiceRow],
    groups: Vec<Group>,
    options: &EvalOptions,
    progress: &mut dyn Progress,
) -> Result<(Vec<Outcome>, Measures)> {
    let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
    let outline = outline(policy.model, policy.adapter);
    let batch_tokens = fitting_tokens(outline.as_ref(), &groups, groups.len(), options.batch_tokens, progress)?;
    let mut told = |done, tokens| {
        progress.update(&Update { stage: Stage::Score, output: name, done, total: rows.len(), tokens, metrics: None })
    };
    told(0, 0)?;
    let mut tokens = 0;
    let logps = group_logps(policy, &ids, &groups, batch_tokens, |done, rows| {
        tokens += rows;
        told(done, tokens)
    });
    let outcomes: Vec<Outcome> = rows
        .iter()
        .zip(&groups)
        .zip(logps.await.map_err(|error| error.of_stage(Stage::Score))?)
        .map(|((row, group), logps)| outcome(row, group, logps))
        .collect();
    let right = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Choice { acc_norm: true, .. })).count();
    let (acc_norm, acc_norm_stderr) = share(right, rows.len());
    Ok((outcomes, Measures::Choices { acc_norm, acc_norm_stderr }))
}

/// A question and its choices as tokens.
///
/// Of raw text, the tokens of prompt and choice together are cut where those of the prompt alone would end. A tokenizer
/// that joins the prompt's end with the choice's beginning makes the model read the prompt's own tokens all the same, then
/// the rest of the joint ones: lm-evaluation-harness does so too.
fn group(encoder: Encoder<'_>, row: &ChoiceRow, chat: bool) -> Result<Group> {
    let ChoiceRow { id, question, choices, .. } = row;
    let encoder = Encoder { raw: !chat, ..encoder };
    let text = if chat { question.clone() } else { format!("Question: {question}\nAnswer:") };
    let prompt = Turns::Text(text.clone());
    if chat {
        let unended = |choice: &String| Completion { finish: Finish::Length, ..Completion::from(choice.as_str()) };
        return encoder.group(id, &prompt, &choices.iter().map(unended).collect::<Vec<_>>());
    }
    let prompt = encoder.prompt(id, &prompt)?;
    let completion = |(i, choice): (usize, &String)| {
        let whole = encoder.text.raw(&format!("{text} {choice}")).map_err(|e| Error::prompt(id, e))?;
        let tokens = whole.get(prompt.len()..).unwrap_or_default().to_vec();
        if tokens.is_empty() {
            return Err(Error::prompt(id, format_args!("choice {i} is {choice:?}: no tokens, expected at least one")));
        }
        if whole.len() > encoder.context {
            let (len, new, context) = (prompt.len(), tokens.len(), encoder.context);
            let problem = format_args!("{len} tokens and {new} of choice {i}, expected at most {context} in all");
            return Err(Error::prompt(id, problem));
        }
        Ok(tokens)
    };
    let completions = choices.iter().enumerate().map(completion).collect::<Result<_>>()?;
    Ok(Group { prompt, completions })
}

fn outcome(row: &ChoiceRow, group: &Group, logps: Vec<f64>) -> Outcome {
    let per_character: Vec<f64> =
        logps.iter().zip(&row.choices).map(|(logps, choice)| logps / choice.chars().count() as f64).collect();
    Outcome::Choice {
        id: row.id.clone(),
        answer: row.answer,
        acc: first_largest(&logps) == row.answer,
        acc_norm: first_largest(&per_character) == row.answer,
        tokens: group.completions.iter().map(Vec::len).collect(),
        logps,
    }
}

/// Index of the first of the largest values; 0 where there are none.
fn first_largest(values: &[f64]) -> usize {
    (1..values.len()).fold(0, |best, i| if values[i] > values[best] { i } else { best })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::{Task, TaskRows, evaluate};
    use crate::testing::{LAYOUT, Log, Tiny, letter};
    use cream_engine::Batch;
    use proptest::prelude::*;

    fn row(id: &str, choices: &[&str], answer: usize) -> ChoiceRow {
        let choices = choices.iter().map(|&choice| choice.to_owned()).collect();
        ChoiceRow { id: id.into(), question: letter(30), choices, answer }
    }

    fn judged(choices: &[&str], logps: &[f64], answer: usize) -> (bool, bool) {
        let group = Group { prompt: vec![1], completions: vec![vec![1]; choices.len()] };
        match outcome(&row("a", choices, answer), &group, logps.to_vec()) {
            Outcome::Choice { acc, acc_norm, .. } => (acc, acc_norm),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn sum_and_sum_per_character() {
        // -4 is the largest sum; per character -8 / 4 beats -4 / 1 and -9 / 3.
        let (choices, logps) = (["a", "abcd", "abc"], [-4.0, -8.0, -9.0]);
        assert_eq!(
            [0, 1, 2].map(|answer| judged(&choices, &logps, answer)),
            [(true, false), (false, true), (false, false)]
        );
        // Characters, not bytes: -6 / 3 beats -5 / 2, while bytes would say -5 / 4.
        assert_eq!(judged(&["éé", "abc"], &[-5.0, -6.0], 1), (false, true));
        // The first of equals, as numpy's argmax.
        assert_eq!(judged(&["ab", "ab"], &[-5.0, -5.0], 0), (true, true));
        assert_eq!(judged(&["ab", "ab"], &[-5.0, -5.0], 1), (false, false));
    }

    #[test]
    fn shares_and_their_errors() {
        assert_eq!(share(1, 1), (1.0, None));
        assert_eq!(share(2, 2), (1.0, Some(0.0)));
        // The deviation of 1, 0, 0, 0 is 1/2, over sqrt(4).
        assert_eq!(share(1, 4), (0.25, Some(0.25)));
    }

    proptest! {
        #[test]
        fn the_error_is_the_samples_deviation(right in prop::collection::vec(any::<bool>(), 2..50)) {
            let values: Vec<f64> = right.iter().map(|&right| f64::from(u8::from(right))).collect();
            let n = values.len() as f64;
            let mean = values.iter().sum::<f64>() / n;
            let deviation = (values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
            let (p, error) = share(right.iter().filter(|&&right| right).count(), right.len());
            prop_assert_eq!(p, mean);
            prop_assert!((error.unwrap() - deviation / n.sqrt()).abs() < LAYOUT);
        }
    }

    #[test]
    fn choices_share_a_prompt_and_score_as_if_alone() {
        let tiny = Tiny::new();
        let policy = tiny.policy();
        let long = letter(40) + &letter(41) + &letter(42);
        let rows = vec![
            row("a", &[&letter(50), &long, &letter(52)], 1),
            row("b", &[&letter(60), &letter(60)], 0),
            row("c", &[&letter(60), &letter(60)], 1),
        ];
        let task = Task { name: "t".into(), rows: TaskRows::Choices(rows.clone()) };
        for (chat, batch_tokens) in [(false, 2048), (true, 2048), (false, 1)] {
            let options = EvalOptions { chat, batch_tokens, ..EvalOptions::default() };
            let mut log = Log::new(usize::MAX);
            let evaluation = pollster::block_on(evaluate(policy, None, &task, &options, &mut log)).unwrap();
            assert_eq!(log.updates[0], ("score t".into(), 0, 3));
            assert_eq!(log.updates.last().unwrap(), &("score t".into(), 3, 3));
            for (row, outcome) in rows.iter().zip(&evaluation.outcomes) {
                let Outcome::Choice { id, logps, tokens, .. } = outcome else { panic!("{outcome:?}") };
                assert_eq!(*id, row.id);
                for ((choice, &logps), &tokens) in row.choices.iter().zip(logps).zip(tokens) {
                    // Every character is a token here; those of "Question:" and the space are unknown ones.
                    let prompt = if chat {
                        policy.encoder.prompt("", &Turns::Text(row.question.clone())).unwrap()
                    } else {
                        tiny.text.raw(&format!("Question: {}\nAnswer:", row.question)).unwrap()
                    };
                    let completion = tiny.text.raw(&format!("{}{choice}", if chat { "" } else { " " })).unwrap();
                    assert_eq!(tokens, completion.len());
                    let alone = Group { prompt, completions: vec![completion] };
                    let batch = Batch::new(&[alone], policy.model.config().vocab_size).unwrap();
                    let own = pollster::block_on(policy.model.token_logps(None, &batch)).unwrap();
                    let own: f64 = own.into_iter().map(f64::from).sum();
                    assert!((own - logps).abs() <= LAYOUT * own.abs().max(1.0), "{own} and {logps}");
                }
            }
            let report = &evaluation.report;
            assert_eq!(report.n, 3);
            let json = serde_json::to_value(report).unwrap();
            assert_eq!((json["kind"].as_str(), json["task"].as_str()), (Some("choices"), Some("t")));
            assert!(json["acc"].is_f64() && json["acc_norm"].is_f64() && json["stderr"].is_f64());
            assert_eq!(serde_json::from_value::<crate::EvalReport>(json).unwrap(), *report);
        }
    }

    #[test]
    fn a_prompt_too_long_is_named() {
        let tiny = Tiny::new();
        let short = Encoder { max_prompt_tokens: 4, ..tiny.encoder() };
        let error = group(short, &row("x", &["a", "b"], 0), false).unwrap_err().to_string();
        assert!(error.starts_with("prompt \"x\": ") && error.ends_with("expected at most 4"), "{error}");
    }
}
