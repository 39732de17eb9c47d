//! A comparison for people.

use super::{Comparison, MethodResult, ModelResult};

impl Comparison {
    /// A line for each model of each method; one that all have is told once, by `all`. Accuracies with their standard
    /// error; `tau`, `rho` and `top` are how far a model ranks as the one before it, over the prompts that both rank; `margin`
    /// and `drift` are what training made of its pairs.
    pub fn table(&self) -> Vec<String> {
        let Some(first) = self.methods.first().and_then(|method| method.models.first()) else { return Vec::new() };
        let mut rows = vec![["method", "model"].map(str::to_owned).to_vec()];
        rows[0].extend(first.tasks.iter().map(|report| report.task.clone()));
        let others = ["tau", "rho", "top", "margin", "drift chosen", "drift rejected", "tokens"];
        rows[0].extend(others.map(str::to_owned));
        for (i, method) in self.methods.iter().enumerate() {
            for (t, model) in method.models.iter().enumerate() {
                let same = |other: &MethodResult| other.models.get(t) == Some(model);
                // Before the first preference round all methods have the same models.
                let shared = self.methods.len() > 1 && model.drift.is_none() && self.methods.iter().all(same);
                if shared && i > 0 {
                    continue;
                }
                let name = if shared { "all".to_owned() } else { method.method.to_string() };
                rows.push([vec![name], cells(model)].concat());
            }
        }
        aligned(&rows)
    }
}

fn cells(model: &ModelResult) -> Vec<String> {
    let number = |value: Option<f64>, digits: usize| value.map_or("-".into(), |value| format!("{value:.digits$}"));
    let mut cells = vec![model.model.clone()];
    for report in &model.tasks {
        let stderr = report.stderr.map_or(String::new(), |stderr| format!(" ± {stderr:.3}"));
        cells.push(format!("{:.3}{stderr}", report.acc));
    }
    let rankings = model.rankings.unwrap_or_default();
    cells.extend([rankings.tau, rankings.spearman, rankings.top_order].map(|value| number(value, 2)));
    cells.push(number(model.drift.map(|drift| drift.margin), 3));
    cells.push(number(model.drift.map(|drift| drift.chosen_logps), 2));
    cells.push(number(model.drift.map(|drift| drift.rejected_logps), 2));
    cells.push(number(model.mean_tokens, 1));
    cells
}

/// Columns of one width, the first two to the left.
fn aligned(rows: &[Vec<String>]) -> Vec<String> {
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let cell = |(column, cell): (usize, &String)| {
        let width = width(column).unwrap_or(0);
        if column < 2 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
    };
    let line = |row: &Vec<String>| row.iter().enumerate().map(cell).collect::<Vec<_>>().join("  ");
    rows.iter().map(|row| line(row).trim_end().to_owned()).collect()
}
