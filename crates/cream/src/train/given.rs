//! Pairs of others, made into pairs that can be trained on.

use crate::error::Result;
use crate::fingerprint::fingerprint;
use crate::jsonl::read_jsonl;
use crate::model::Model;
use crate::policy::Policy;
use crate::progress::Progress;
use crate::rows::{Completions, GivenPair, Pair, Scores};
use crate::score::{ScoreOptions, score};
use crate::store::{Output, Store, join};

/// Gives pairs what they lack, each with the number of its line: a pair without an id is called by it (`line 3`); one without a consistency has C = 1,
/// which is plain DPO, and that is logged; one without log-probs of a reference has those of `policy`, the model that is to
/// be trained. They are kept in the folder `output`, so that a call that is taken up finds them.
///
/// # Errors
/// Those of [`score()`](crate::score()).
pub async fn complete_pairs<M: Model>(
    policy: Policy<'_, M>,
    given: Vec<(usize, GivenPair)>,
    options: &ScoreOptions,
    output: Output<'_>,
    progress: &mut dyn Progress,
) -> Result<Vec<Pair>> {
    let without = given.iter().filter(|(_, pair)| pair.consistency.is_none()).count();
    if without > 0 {
        progress.log(&format!("{without} of {} pairs have no consistency: theirs is 1, plain DPO", given.len()));
    }
    let bare: Vec<usize> = (0..given.len()).filter(|&i| given[i].1.ref_logps.is_none()).collect();
    let pair = |(number, given): (usize, GivenPair)| {
        let GivenPair { id, prompt, chosen, rejected, consistency, ref_logps } = given;
        let [ref_chosen_logps, ref_rejected_logps] = ref_logps.unwrap_or_default();
        let (id, consistency) = (id.unwrap_or_else(|| format!("line {number}")), consistency.unwrap_or(1.0));
        Pair { id, prompt, chosen, rejected, consistency, ref_chosen_logps, ref_rejected_logps }
    };
    let mut pairs: Vec<Pair> = given.into_iter().map(pair).collect();
    if bare.is_empty() {
        return Ok(pairs);
    }
    progress.log(&format!("{} pairs have no reference: it is the model as it is before training", bare.len()));
    let rows: Vec<Completions> = bare.iter().map(|&i| pairs[i].completions()).collect();
    let key = fingerprint([policy.fingerprint.as_bytes()]);
    let name = join(output.name, &format!("reference-{}.jsonl", &key[..8]));
    let scores = match found(&*output.store, &name, &rows).await? {
        Some(scores) => scores,
        None => score(policy, &rows, options, Output { store: output.store, name: &name }, progress).await?,
    };
    for (i, scores) in bare.into_iter().zip(scores) {
        [pairs[i].ref_chosen_logps, pairs[i].ref_rejected_logps] = [scores.logps[0], scores.logps[1]];
    }
    Ok(pairs)
}

/// The scores of a file, if they are of these rows.
async fn found(store: &dyn Store, name: &str, rows: &[Completions]) -> Result<Option<Vec<Scores>>> {
    let Some(bytes) = store.read(name).await? else { return Ok(None) };
    let scores: Vec<Scores> = read_jsonl(name, bytes.as_slice())?;
    let same = |(row, scores): (&Completions, &Scores)| {
        (&row.id, &row.prompt, &row.completions) == (&scores.id, &scores.prompt, &scores.completions)
    };
    Ok((rows.len() == scores.len() && rows.iter().zip(&scores).all(same)).then_some(scores))
}
