//! A device that is lost in the middle of a run, on the first adapter that wgpu sees.

use cream_engine::gpu::{Gpu, adapters};
use cream_engine::{Budget, Llama, hf};

use super::*;
use crate::progress::{Stage, Update};
use crate::score::ScoreOptions;
use crate::store::Memory;
use crate::testing::{files, outlines, prompts, text};

/// Destroys the device when something of this stage is done.
struct Destroyer {
    gpu: Gpu,
    at: Option<Stage>,
}

impl Progress for Destroyer {
    fn update(&mut self, update: &Update<'_>) -> Result<()> {
        if self.at == Some(update.stage) && update.done > 0 {
            self.gpu.destroy();
        }
        Ok(())
    }

    fn log(&mut self, _: &str) {}

    fn detail(&mut self, _: &str) {}
}

fn call(store: &mut Memory, destroyed_at: Option<Stage>) -> Result<Vec<Summary>> {
    let gpu = block_on(Gpu::new(0)).unwrap();
    let (files, config) = (
        files(),
        RunConfig {
            iterations: 1,
            score: ScoreOptions { batch_tokens: 1, ..ScoreOptions::default() },
            ..config(Tuning::Lora)
        },
    );
    let text = text(&files);
    let mut load =
        |_: Option<&str>, trainable: bool| Ok(Llama::new(gpu.clone(), &hf::load(&files).unwrap().0, trainable)?);
    let inputs = RunInputs {
        config: &config,
        prompts: &prompts(4),
        sft: &[],
        text: &text,
        base_model: "tiny",
        fingerprint: "of tiny",
        context: 256,
        outlines: Some(&outlines(&files, Budget::default())),
        load: &mut load,
        external: None,
    };
    block_on(run(inputs, store, &mut Destroyer { gpu: gpu.clone(), at: destroyed_at }))
}

#[test]
fn a_run_is_taken_up_after_its_device_was_lost() {
    if block_on(adapters()).is_empty() {
        let required = std::env::var_os("CREAM_REQUIRE_GPU").is_some_and(|value| value == "1");
        assert!(!required, "CREAM_REQUIRE_GPU=1, and wgpu sees no adapter");
        return eprintln!("skipped: no adapter for wgpu");
    }
    let mut whole = Memory::default();
    call(&mut whole, None).unwrap();
    for at in [Stage::Sample, Stage::Score, Stage::Train] {
        let mut store = Memory::default();
        let error = call(&mut store, Some(at)).unwrap_err();
        assert!(matches!(error, Error::Device { stage, .. } if stage == at), "{at}: {error:?}");
        let message = error.to_string();
        assert!(message.contains("the same call takes the work up"), "{message}");
        call(&mut store, None).unwrap();
        assert_eq!(store.files.keys().collect::<Vec<_>>(), whole.files.keys().collect::<Vec<_>>());
        for name in ["iteration-1/completions.jsonl", "iteration-1/pairs.jsonl"] {
            assert_eq!(store.files[name], whole.files[name], "{name}");
        }
    }
}
