//! Preferences by the implicit reward.

use super::{EvalOptions, Measures, Outcome, PreferenceRow};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::policy::{Encoder, Policy};
use crate::progress::Progress;
use crate::rows::{Completion, Completions, Scores};
use crate::score::{ScoreOptions, score};
use crate::store::{Memory, Output};

/// All rows as two completions of a prompt.
pub(super) fn prepare(encoder: Encoder<'_>, rows: &[PreferenceRow]) -> Result<Vec<Completions>> {
    let completions = |row: &PreferenceRow| Completions {
        id: row.id.clone(),
        prompt: row.prompt.clone(),
        completions: [&row.chosen, &row.rejected].map(|text| Completion::from(text.as_str())).into(),
    };
    let pairs: Vec<Completions> = rows.iter().map(completions).collect();
    pairs.iter().try_for_each(|row| encoder.group(&row.id, &row.prompt, &row.completions).map(drop))?;
    Ok(pairs)
}

pub(super) async fn evaluate<M: Model>(
    policy: Policy<'_, M>,
    reference: Option<Policy<'_, M>>,
    name: &str,
    pairs: Vec<Completions>,
    options: &EvalOptions,
    progress: &mut dyn Progress,
) -> Result<(Vec<Outcome>, Measures)> {
    let Some(reference) = reference else {
        return Err(Error::file(name, "preferences, expected a reference model that rewards are relative to"));
    };
    let settings = ScoreOptions { batch_tokens: options.batch_tokens, ..ScoreOptions::default() };
    let mut memory = Memory::default();
    let output = Output { store: &mut memory, name };
    let scores = score(policy, &pairs, &settings, output, progress).await?;
    let output = Output { store: &mut memory, name: &format!("{name} (reference)") };
    let reference = score(reference, &pairs, &settings, output, progress).await?;
    let outcomes: Vec<Outcome> =
        scores.iter().zip(&reference).map(|(row, reference)| outcome(row, reference)).collect();
    let measures = measures(&outcomes);
    Ok((outcomes, measures))
}

fn outcome(row: &Scores, reference: &Scores) -> Outcome {
    let (logps, reference_logps) = ([row.logps[0], row.logps[1]], [reference.logps[0], reference.logps[1]]);
    let margin = (logps[0] - reference_logps[0]) - (logps[1] - reference_logps[1]);
    let tokens = [row.tokens[0], row.tokens[1]];
    Outcome::Preference { id: row.id.clone(), logps, reference_logps, tokens, margin, acc: margin > 0.0 }
}

fn measures(outcomes: &[Outcome]) -> Measures {
    let rows = || {
        outcomes.iter().filter_map(|outcome| match outcome {
            Outcome::Preference { margin, tokens, .. } => Some((*margin, *tokens)),
            _ => None,
        })
    };
    let mean = |of: &dyn Fn((f64, [usize; 2])) -> f64| rows().map(of).sum::<f64>() / outcomes.len() as f64;
    let share = |yes: usize, of: usize| (of > 0).then(|| yes as f64 / of as f64);
    let uneven = || rows().filter(|(_, [chosen, rejected])| chosen != rejected);
    let untied = || uneven().filter(|(margin, _)| *margin != 0.0);
    let longer_preferred =
        untied().filter(|(margin, [chosen, rejected])| (*margin > 0.0) == (chosen > rejected)).count();
    let longer_chosen = uneven().filter(|(_, [chosen, rejected])| chosen > rejected).count();
    Measures::Preferences {
        ties: rows().filter(|(margin, _)| *margin == 0.0).count(),
        mean_margin: mean(&|(margin, _)| margin),
        longer_preferred: share(longer_preferred, untied().count()),
        longer_chosen: share(longer_chosen, uneven().count()),
        mean_chosen_tokens: mean(&|(_, tokens)| tokens[0] as f64),
        mean_rejected_tokens: mean(&|(_, tokens)| tokens[1] as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::{Task, TaskRows, evaluate};
    use crate::rows::Turns;
    use crate::testing::{LAYOUT, Tiny, letter};
    use cream_engine::{Adapter, LoraConfig};

    #[test]
    fn ties_and_length_bias_are_counted() {
        let row = |margin: f64, tokens: [usize; 2]| {
            let (logps, reference_logps) = ([margin, 0.0], [0.0, 0.0]);
            Outcome::Preference { id: String::new(), logps, reference_logps, tokens, margin, acc: margin > 0.0 }
        };
        // Longer preferred: rows 0 and 2 of 0, 1, 2 (3 is tied, 4 even). Longer chosen: 0, 1 and 3 of 0 to 3.
        let rows = [row(1.0, [5, 2]), row(-1.0, [5, 2]), row(-2.0, [1, 4]), row(0.0, [3, 1]), row(2.0, [2, 2])];
        assert_eq!(
            measures(&rows),
            Measures::Preferences {
                ties: 1,
                mean_margin: 0.0,
                longer_preferred: Some(2.0 / 3.0),
                longer_chosen: Some(0.75),
                mean_chosen_tokens: 16.0 / 5.0,
                mean_rejected_tokens: 11.0 / 5.0,
            }
        );
        assert!(matches!(
            measures(&rows[4..]),
            Measures::Preferences { longer_preferred: None, longer_chosen: None, .. }
        ));
    }

    #[test]
    fn rewards_are_relative_to_the_reference() {
        let tiny = Tiny::new();
        let rows = (0..4).map(|i| PreferenceRow {
            id: format!("r{i}"),
            prompt: Turns::Text(letter(30 + i)),
            chosen: letter(40 + i) + &letter(60),
            rejected: letter(50 + i),
        });
        let rows: Vec<PreferenceRow> = rows.collect();
        let task = Task { name: "t".into(), rows: TaskRows::Preferences(rows.clone()) };
        let options = EvalOptions::default();
        let message = pollster::block_on(evaluate(tiny.policy(), None, &task, &options, &mut ())).unwrap_err();
        assert_eq!(message.to_string(), "t: preferences, expected a reference model that rewards are relative to");

        // A model is never better than itself.
        let run = |policy| pollster::block_on(evaluate(policy, Some(tiny.policy()), &task, &options, &mut ())).unwrap();
        let own = run(tiny.policy());
        assert!(matches!(own.report.measures, Measures::Preferences { ties: 4, mean_margin: 0.0, .. }));
        assert_eq!((own.report.acc, own.report.n), (0.0, 4));

        // Another one is, or is not; with the sides exchanged the other rows are right.
        let other = Tiny::new();
        let adapter = trained(&other);
        let policy = Policy { adapter: Some(&adapter), fingerprint: "adapter", ..tiny.policy() };
        let there = run(policy);
        let exchanged = rows.iter().map(|row| PreferenceRow {
            chosen: row.rejected.clone(),
            rejected: row.chosen.clone(),
            ..row.clone()
        });
        let task = Task { name: "t".into(), rows: TaskRows::Preferences(exchanged.collect()) };
        let back = pollster::block_on(evaluate(policy, Some(tiny.policy()), &task, &options, &mut ())).unwrap();
        assert_eq!(there.report.acc + back.report.acc, 1.0);
        for (there, back) in there.outcomes.iter().zip(&back.outcomes) {
            let (Outcome::Preference { margin: there, .. }, Outcome::Preference { margin: back, .. }) = (there, back)
            else {
                panic!("{there:?}, {back:?}")
            };
            assert!(*there != 0.0 && (there + back).abs() <= LAYOUT, "{there} and {back}");
        }
    }

    /// An adapter whose B is not zero.
    fn trained(tiny: &Tiny) -> Adapter<cream_engine::Cpu> {
        let config = LoraConfig { r: 2, ..LoraConfig::default() };
        let adapter = Adapter::new(tiny.model.backend(), tiny.model.config(), config, 1).unwrap();
        let (json, weights) = pollster::block_on(adapter.to_peft(tiny.model.backend(), "tiny")).unwrap();
        let mut tensors = weights;
        // The last bytes are a tensor's: any finite numbers do.
        let at = tensors.len() - 64;
        for value in tensors[at..].chunks_exact_mut(4) {
            value.copy_from_slice(&0.25f32.to_le_bytes());
        }
        Adapter::from_peft(tiny.model.backend(), tiny.model.config(), json.as_bytes(), &tensors).unwrap()
    }
}
