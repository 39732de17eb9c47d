//! Stages held against the memory of their device before they take any.

use cream_engine::{Budget, MemoryPlan, Outline};

use crate::error::{Error, Result};
use crate::model::Model;
use crate::progress::{Progress, Stage};

/// Tokens at once below which less memory costs too much time.
const FEWEST_TOKENS: usize = 64;

/// What the next stage works with, once the device has back what earlier ones left free.
pub(crate) fn outline<M: Model>(model: &M, adapter: Option<&M::Adapter>) -> Option<Outline> {
    model.trim();
    model.outline(adapter)
}

/// A setting, its half, and so on down to `least`.
pub(crate) fn halved(from: usize, least: usize) -> impl Iterator<Item = usize> {
    std::iter::successors(Some(from), move |&n| (n > least).then(|| (n / 2).max(least)))
}

/// The same for tokens at once.
pub(crate) fn fewer_tokens(from: usize) -> impl Iterator<Item = usize> {
    halved(from, FEWEST_TOKENS.min(from))
}

/// The first of `settings` that fits in the budget; they go from what was asked for to what takes least. Only the first
/// may be taken unless the budget lets stages adapt. `name` names a setting. Where the model has no outline nothing is planned.
pub(crate) fn fitting<S: Clone>(
    stage: Stage,
    outline: Option<&Outline>,
    settings: impl IntoIterator<Item = S>,
    plan: impl Fn(&Outline, &S) -> Result<MemoryPlan>,
    name: impl Fn(&S) -> String,
    progress: &mut dyn Progress,
) -> Result<S> {
    let mut settings = settings.into_iter();
    let Some(outline) = outline else { return Ok(settings.next().expect("what was asked for")) };
    choose(stage, outline.budget(), settings, |setting| plan(outline, setting), name, progress)
}

fn choose<S: Clone>(
    stage: Stage,
    budget: Budget,
    mut settings: impl Iterator<Item = S>,
    plan: impl Fn(&S) -> Result<MemoryPlan>,
    name: impl Fn(&S) -> String,
    progress: &mut dyn Progress,
) -> Result<S> {
    let first = settings.next().expect("what was asked for");
    let wanted = plan(&first)?;
    progress.detail(&format!("{stage}: memory planned\n{wanted}"));
    let Budget { bytes: Some(budget), adapt } = budget else { return Ok(first) };
    let needed = wanted.bytes();
    if needed <= budget {
        return Ok(first);
    }
    for setting in settings {
        let bytes = plan(&setting)?.bytes();
        if bytes > budget {
            continue;
        }
        let name = name(&setting);
        if !adapt {
            return Err(Error::Memory { stage, needed, budget, advice: format!("{name} needs {bytes}"), fits: true });
        }
        progress.log(&format!(
            "{stage}: {needed} bytes do not fit in {budget}; {name} needs {bytes}, with the same result up to rounding"
        ));
        return Ok(setting);
    }
    let weights: u64 = wanted.parts.iter().filter(|(name, _)| *name == "weights").map(|(_, bytes)| bytes).sum();
    let advice = if weights > budget {
        format!(
            "its weights alone are {weights}: a more quantised file, or an adapter in place of all weights, needs less"
        )
    } else {
        "no setting needs so little: a smaller model or shorter texts".into()
    };
    Err(Error::Memory { stage, needed, budget, advice, fits: false })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Log;

    fn choose(bytes: Option<u64>, adapt: bool) -> (Result<usize>, Vec<String>) {
        let mut log = Log::new(usize::MAX);
        let plan = |&slots: &usize| Ok(MemoryPlan { parts: vec![("weights", 100), ("rest", 10 * slots as u64)] });
        let name = |slots: &usize| format!("slots {slots}");
        let chosen = super::choose(Stage::Sample, Budget { bytes, adapt }, halved(9, 1), plan, name, &mut log);
        (chosen, log.lines)
    }

    #[test]
    fn what_fits_is_taken_as_it_is() {
        for budget in [None, Some(190)] {
            let (chosen, lines) = choose(budget, true);
            assert_eq!((chosen.unwrap(), lines), (9, vec![]));
        }
    }

    #[test]
    fn less_is_taken_only_where_that_is_asked_for() {
        let (chosen, lines) = choose(Some(189), true);
        assert_eq!(chosen.unwrap(), 4);
        assert!(lines[0].contains("190 bytes do not fit in 189; slots 4 needs 140"), "{lines:?}");
        let message = choose(Some(120), false).0.unwrap_err().to_string();
        let expected = "sample: 190 bytes of memory are needed and 120 may be taken; \
                        slots 2 needs 120";
        assert_eq!(message, expected);
        assert!(choose(Some(109), true).0.unwrap_err().to_string().contains("no setting needs so little"));
        let message = choose(Some(99), true).0.unwrap_err().to_string();
        assert!(message.contains("190 bytes of memory are needed") && message.contains("alone are 100"), "{message}");
    }

    #[test]
    fn tokens_are_halved_to_a_floor() {
        assert_eq!(fewer_tokens(300).collect::<Vec<_>>(), [300, 150, 75, 64]);
        assert_eq!(fewer_tokens(5).collect::<Vec<_>>(), [5]);
    }
}
