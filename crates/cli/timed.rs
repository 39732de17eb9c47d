//! Time and memory of a run's stages, written down as they pass.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use cream::{Directory, Progress, Timings, Update};
use pollster::block_on;

/// What a kill may lose of a stage's time.
const BETWEEN_WRITES: Duration = Duration::from_secs(10);

/// Passes everything on, and keeps timings.json of a run directory.
pub(crate) struct Timed<P> {
    inner: P,
    store: Directory,
    timings: Timings,
    device: String,
    /// Output of the stage under way, and its tokens so far in this call.
    under_way: (String, usize),
    last_update: Instant,
    last_write: Instant,
}

impl<P: Progress> Timed<P> {
    /// The clock starts.
    pub(crate) fn new(inner: P, folder: &Path, model: &str, device: String) -> Result<Self> {
        let mut store = Directory::open(folder)?;
        let timings = Timings { model: model.into(), ..block_on(Timings::read(&store))? };
        // In place of a file that a kill left half written, too.
        block_on(timings.write(&mut store))?;
        let now = Instant::now();
        Ok(Timed { inner, store, timings, device, under_way: (String::new(), 0), last_update: now, last_write: now })
    }
}

impl<P: Progress> Progress for Timed<P> {
    fn update(&mut self, update: &Update<'_>) -> cream::Result<()> {
        let starts = self.under_way.0 != update.output;
        if starts {
            self.under_way = (update.output.into(), 0);
        }
        let stage = self.timings.stage(update, &self.device);
        stage.seconds += self.last_update.elapsed().as_secs_f64();
        stage.tokens += update.tokens.saturating_sub(self.under_way.1);
        stage.peak_bytes = stage.peak_bytes.max(peak_bytes());
        self.under_way.1 = update.tokens;
        self.last_update = Instant::now();
        if starts {
            forget_peak();
        }
        if update.done == update.total || self.last_write.elapsed() >= BETWEEN_WRITES {
            block_on(self.timings.write(&mut self.store))?;
            self.last_write = Instant::now();
        }
        self.inner.update(update)
    }

    fn log(&mut self, line: &str) {
        self.inner.log(line);
    }

    fn detail(&mut self, lines: &str) {
        self.inner.detail(lines);
    }
}

/// Most memory that this process has held since [`forget_peak`]; Linux tells.
fn peak_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib << 10)
}

/// Where it is not allowed, a stage's peak is that of the process so far.
fn forget_peak() {
    let _ = fs::write("/proc/self/clear_refs", "5");
}

#[cfg(test)]
mod tests {
    use super::*;
    use cream::Stage;

    #[test]
    fn calls_add_up_and_stages_stay_apart() {
        let folder = std::env::temp_dir().join(format!("cream-timed-{}", std::process::id()));
        let call = |updates: &[(Stage, &str, usize, usize)]| {
            let mut timed = Timed::new((), &folder, "model", "a cpu".into()).unwrap();
            for &(stage, output, done, tokens) in updates {
                std::thread::sleep(Duration::from_millis(2));
                timed.update(&Update { stage, output, done, total: 4, tokens, metrics: None }).unwrap();
            }
        };
        call(&[
            (Stage::Sample, "c", 0, 0),
            (Stage::Sample, "c", 4, 10),
            (Stage::Score, "s", 0, 0),
            (Stage::Score, "s", 2, 7),
        ]);
        // Its first two units were not written down: no more than seconds of work.
        call(&[(Stage::Score, "s", 2, 0), (Stage::Score, "s", 3, 4), (Stage::Score, "s", 4, 8)]);
        let timings = block_on(Timings::read(&Directory::open(&folder).unwrap())).unwrap();
        let stages: Vec<_> = timings.stages.iter().map(|s| (s.stage.as_str(), s.output.as_str(), s.tokens)).collect();
        assert_eq!((timings.model.as_str(), stages), ("model", vec![("sample", "c", 10), ("score", "s", 8)]));
        assert!(timings.stages.iter().all(|stage| stage.seconds >= 0.004 && stage.device == "a cpu"), "{timings:?}");
        if cfg!(target_os = "linux") {
            assert!(timings.stages.iter().all(|stage| stage.peak_bytes.is_some_and(|bytes| bytes > 1 << 20)));
        }
        fs::remove_dir_all(folder).unwrap();
    }
}
