//! Rounds of CREAM on a mock model, a table of logits: for each of 64 prompts the log-prob of each of its 6 answers, of which
//! answer k is right with k / 5. `cargo run --package cream-core --example mock`

use cream_core::consistency::{Kind, Map};
use cream_core::philox::Stream;
use cream_core::{Loss, PairLogps};

const ANSWERS: usize = 6;
type Table = Vec<[f32; ANSWERS]>;

fn logps(logits: &[f32; ANSWERS]) -> Result<[f64; ANSWERS], cream_core::Error> {
    let mut row = *logits;
    cream_core::math::log_softmax(&mut row)?;
    Ok(row.map(f64::from))
}

fn quality(table: &Table) -> Result<f64, cream_core::Error> {
    let rows =
        table.iter().map(|row| Ok(logps(row)?.iter().enumerate().map(|(k, logp)| logp.exp() * k as f64 / 5.0).sum()));
    Ok(rows.collect::<Result<Vec<f64>, cream_core::Error>>()?.iter().sum::<f64>() / table.len() as f64)
}

fn main() -> Result<(), cream_core::Error> {
    // The initial model knows nothing; its former self and the current one have seen the answers through more and less noise.
    let noise =
        |seed, prompt: u64, k: usize| cream_core::philox::normals(Stream::at(seed, prompt, k as u32, 0).random())[0];
    let table = |learnt: f32, seed| {
        (0..64).map(|p| [0, 1, 2, 3, 4, 5].map(|k| learnt * k as f32 + noise(seed, p, k))).collect()
    };
    let (initial, mut previous, mut current): (Table, Table, Table) = (table(0.0, 1), table(0.3, 2), table(0.5, 3));
    let (beta, mut scratch) = (0.1, [0; 4 * ANSWERS]);
    for round in 1..=3 {
        let (mut next, mut consistencies) = (current.clone(), Vec::new());
        for prompt in 0..current.len() {
            let [now, before, base] = [logps(&current[prompt])?, logps(&previous[prompt])?, logps(&initial[prompt])?];
            let rewards = [0, 1, 2, 3, 4, 5].map(|k| beta * (now[k] - base[k]));
            let former = [0, 1, 2, 3, 4, 5].map(|k| beta * (before[k] - base[k]));
            let tau = Kind::Kendall.agreement(&rewards, &former, &mut scratch)?.unwrap_or(0.0);
            let Some(consistency) = Map::Linear.apply(tau)? else { continue };
            let Some(pair) = cream_core::choose_pair(&rewards, 0.0)? else { continue };
            for _ in 0..20 {
                let policy = logps(&next[prompt])?;
                let [(chosen, reference_chosen), (rejected, reference_rejected)] =
                    [pair.chosen, pair.rejected].map(|k| (policy[k], now[k]));
                let logps = PairLogps { chosen, rejected, reference_chosen, reference_rejected };
                let loss = Loss::Cream.evaluate(beta, consistency, &logps)?;
                for k in 0..ANSWERS {
                    let d = |place: usize, slope: f64| slope * (f64::from(u8::from(k == place)) - policy[k].exp());
                    next[prompt][k] -= (d(pair.chosen, loss.d_chosen) + d(pair.rejected, loss.d_rejected)) as f32;
                }
            }
            consistencies.push(consistency);
        }
        (previous, current) = (current, next);
        let mean = cream_core::consistency::mean(&consistencies)?;
        println!("round {round}: quality {:.3}, consistency {mean:.3}", quality(&current)?);
    }
    Ok(())
}
