//! Answers that the model writes.

use super::{AnswerMode, AnswerRow, EvalOptions, Measures, Outcome};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::policy::{Encoder, Policy};
use crate::progress::Progress;
use crate::rows::Prompt;
use crate::sample::{SampleOptions, requests, sample};
use crate::store::{Memory, Output};

/// What is asked, how, and what is right.
pub(crate) struct Prepared {
    prompts: Vec<Prompt>,
    right: Vec<String>,
    pub(super) mode: AnswerMode,
    pub(super) sampling: SampleOptions,
    seed: u64,
}

/// Answers are as long as the options say, or as is usual, or as the model's context leaves beside the longest prompt.
pub(super) fn prepare(
    encoder: Encoder<'_>,
    name: &str,
    rows: &[AnswerRow],
    options: &EvalOptions,
    progress: &mut dyn Progress,
) -> Result<Prepared> {
    let mode = options.answer_mode.unwrap_or_else(|| AnswerMode::of(rows.iter().map(|row| row.answer.as_str())));
    let right = |row: &AnswerRow| {
        mode.extract(&row.answer).ok_or_else(|| {
            let problem = format!("\"answer\" is {:?}, expected one of the mode {}", row.answer, mode.name());
            Error::prompt(&row.id, problem)
        })
    };
    let right = rows.iter().map(right).collect::<Result<Vec<_>>>()?;
    let prompts: Vec<Prompt> =
        rows.iter().map(|row| Prompt { id: row.id.clone(), prompt: row.prompt.clone() }).collect();
    let mut sampling = SampleOptions {
        completions: 1,
        temperature: options.temperature,
        // What is measured is the model, not how it is cut off.
        top_k: 0,
        top_p: 1.0,
        max_new_tokens: 1,
        slots: options.slots,
        chunk_size: rows.len().max(1),
        ..SampleOptions::default()
    };
    let requests = requests(encoder, &prompts, &sampling)?;
    let longest = requests.iter().max_by_key(|request| request.prompt.len());
    let (id, len) = longest.map_or(("", 0), |request| (request.id.as_str(), request.prompt.len()));
    let left = encoder.context - len;
    let room = format!("prompt {id:?} has {len} of the {} tokens that the model takes", encoder.context);
    sampling.max_new_tokens = match options.max_new_tokens {
        Some(given) if given > left => {
            let expected = format!("at most {left} in the task {name}: {room}");
            return Err(Error::setting("eval.max_new_tokens", given, expected));
        }
        Some(given) => given,
        None if left < EvalOptions::MAX_NEW_TOKENS => {
            progress.log(&format!("{name}: answers have at most {left} tokens: {room}"));
            left
        }
        None => EvalOptions::MAX_NEW_TOKENS,
    };
    sampling.validate()?;
    Ok(Prepared { prompts, right, mode, sampling, seed: options.seed })
}

pub(super) async fn evaluate<M: Model>(
    policy: Policy<'_, M>,
    name: &str,
    prepared: Prepared,
    progress: &mut dyn Progress,
) -> Result<(Vec<Outcome>, Measures)> {
    let Prepared { prompts, right, mode, sampling, seed } = prepared;
    let output = Output { store: &mut Memory::default(), name };
    let written = sample(policy, &prompts, &sampling, seed, output, progress).await?;
    let outcome = |(row, answer): (crate::rows::Completions, String)| {
        let completion = row.completions.into_iter().next().map(|completion| completion.text).unwrap_or_default();
        let found = mode.extract(&completion);
        let acc = found.as_ref() == Some(&answer);
        Outcome::Answer { id: row.id, answer, found, completion, acc }
    };
    let outcomes: Vec<Outcome> = written.into_iter().zip(right).map(outcome).collect();
    let unanswered = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Answer { found: None, .. })).count();
    Ok((outcomes, Measures::Answers { answer_mode: mode, unanswered }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::{Task, TaskRows, evaluate};
    use crate::rows::Turns;
    use crate::testing::{Log, Tiny, letter};

    fn row(id: usize, answer: &str) -> AnswerRow {
        AnswerRow { id: format!("r{id}"), prompt: Turns::Text(letter(20 + id)), answer: answer.into() }
    }

    fn run(rows: Vec<AnswerRow>, options: &EvalOptions) -> Result<crate::Evaluation> {
        let task = Task { name: "t".into(), rows: TaskRows::Answers(rows) };
        pollster::block_on(evaluate(Tiny::new().policy(), None, &task, options, &mut ()))
    }

    #[test]
    fn the_greedy_answer_is_compared() {
        let options = EvalOptions { max_new_tokens: Some(4), ..EvalOptions::default() };
        let first = run((0..3).map(|id| row(id, "none")).collect(), &options).unwrap();
        assert_eq!(first.report.acc, 0.0);
        let written = |outcome: &Outcome| match outcome {
            Outcome::Answer { completion, .. } => completion.clone(),
            other => panic!("{other:?}"),
        };
        let texts: Vec<String> = first.outcomes.iter().map(written).collect();
        let rows = vec![row(0, &format!(" {}\n", texts[0])), row(1, "none"), row(2, &texts[2])];
        let report = run(rows, &options).unwrap().report;
        assert_eq!((report.n, report.acc), (3, 2.0 / 3.0));
        assert_eq!(report.measures, Measures::Answers { answer_mode: AnswerMode::Exact, unanswered: 0 });
        // Letters of no alphabet hold no number.
        let report = run(vec![row(0, "#### 1"), row(1, "2")], &options).unwrap().report;
        assert_eq!(report.measures, Measures::Answers { answer_mode: AnswerMode::Number, unanswered: 2 });
        assert_eq!((report.acc, report.stderr), (0.0, Some(0.0)));
    }

    #[test]
    fn a_right_answer_must_be_of_the_mode() {
        let options = EvalOptions { answer_mode: Some(AnswerMode::Letter), ..EvalOptions::default() };
        let message = run(vec![row(0, "A"), row(1, "12")], &options).unwrap_err().to_string();
        assert_eq!(message, "prompt \"r1\": \"answer\" is \"12\", expected one of the mode letter");
    }

    #[test]
    fn answers_have_the_length_that_is_left() {
        let tiny = Tiny::new();
        // Three of the prompt's tokens are the template's.
        let rows = [row(0, "none"), AnswerRow { prompt: Turns::Text(letter(20).repeat(30)), ..row(1, "none") }];
        let prepared = |max_new_tokens| {
            let options = EvalOptions { max_new_tokens, ..EvalOptions::default() };
            let mut log = Log::new(0);
            let prepared = prepare(tiny.encoder(), "t", &rows, &options, &mut log).map_err(|error| error.to_string());
            (prepared.map(|prepared| prepared.sampling.max_new_tokens), log.lines)
        };
        let room = "prompt \"r1\" has 33 of the 256 tokens that the model takes";
        assert_eq!(prepared(None), (Ok(223), vec![format!("t: answers have at most 223 tokens: {room}")]));
        assert_eq!(prepared(Some(223)), (Ok(223), vec![]));
        let error = format!("eval.max_new_tokens: 224, expected at most 223 in the task t: {room}");
        assert_eq!(prepared(Some(224)), (Err(error), vec![]));
        assert_eq!(prepared(Some(0)), (Err("max_new_tokens: 0, expected at least 1".into()), vec![]));
    }
}
