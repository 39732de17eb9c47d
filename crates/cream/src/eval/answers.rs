//! Answers that the model writes.

use cream_engine::Backend;

use super::{AnswerMode, AnswerRow, EvalOptions, Measures, Outcome};
use crate::error::{Error, Result};
use crate::policy::Policy;
use crate::progress::Progress;
use crate::rows::Prompt;
use crate::sample::{SampleOptions, sample};
use crate::store::{Memory, Output};

pub(super) async fn evaluate<B: Backend>(
    policy: Policy<'_, B>,
    name: &str,
    rows: &[AnswerRow],
    options: &EvalOptions,
    progress: &mut dyn Progress,
) -> Result<(Vec<Outcome>, Measures)> {
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
    let EvalOptions { max_new_tokens, slots, .. } = *options;
    let chunk_size = rows.len().max(1);
    let greedy = SampleOptions {
        completions: 1,
        temperature: 0.0,
        max_new_tokens,
        slots,
        chunk_size,
        ..SampleOptions::default()
    };
    let output = Output { store: &mut Memory::default(), name };
    let written = sample(policy, &prompts, &greedy, 0, output, progress).await?;
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
    use crate::testing::{Tiny, letter};

    fn row(id: usize, answer: &str) -> AnswerRow {
        AnswerRow { id: format!("r{id}"), prompt: Turns::Text(letter(20 + id)), answer: answer.into() }
    }

    fn run(rows: Vec<AnswerRow>, options: &EvalOptions) -> Result<crate::Evaluation> {
        let task = Task { name: "t".into(), rows: TaskRows::Answers(rows) };
        pollster::block_on(evaluate(Tiny::new().policy(), None, &task, options, &mut ()))
    }

    #[test]
    fn the_greedy_answer_is_compared() {
        let options = EvalOptions { max_new_tokens: 4, ..EvalOptions::default() };
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
}
