use std::fs;
use std::path::Path;

use cream::{Device, DeviceChoice, DeviceModel, Directory, ModelFiles, RunConfig, RunInputs, read_jsonl};
use pollster::block_on;

use crate::support::{assert_same_tree, done, file, folder, prompts, text, tiny_model};

/// From a path and the name of a device to a whole run, without the program, and all that it writes is the same.
#[test]
fn the_library_alone_does_what_the_program_does() {
    let folder = folder("library");
    let settings = "iterations = 1\n[sample]\ncompletions = 3\nmax_new_tokens = 12\n[pair]\ncut = \"keep\"\n\
                    [train]\nbatch_size = 2\nlearning_rate = 0.01\n";
    let sft = "{\"prompt\":\"Hi\",\"completion\":\"Good day\"}\n{\"prompt\":\"Bye\",\"completion\":\"See you\"}\n";
    let (model, prompts) = (tiny_model(&folder), prompts(&folder, 4));
    let (sft, config) = (file(&folder, "sft.jsonl", sft), file(&folder, "settings.toml", settings));
    let [by_program, by_library] = ["program", "library"].map(|name| folder.join(name));
    let args = ["run", "--model", &model, "--prompts", &prompts, "--sft", &sft, "--config", &config, "--output"];
    done(&[&args[..], &[&text(&by_program)]].concat());

    let read = |path: &str| fs::read(path).unwrap();
    let config = RunConfig::from_toml("settings.toml", settings).unwrap();
    let files = ModelFiles::read(&model, Path::new(&model)).unwrap();
    let (checkpoint, text) = files.parse().unwrap();
    let device = block_on(Device::open(DeviceChoice::Cpu)).unwrap();
    let on_device = block_on(device.load(&checkpoint, config.sample.slots, |_, _, _| Ok(()))).unwrap();
    let mut load = |_: Option<&str>, _: bool| -> cream::Result<DeviceModel> { Ok(on_device.clone()) };
    let inputs = RunInputs {
        config: &config,
        prompts: &read_jsonl("prompts.jsonl", &*read(&prompts)).unwrap(),
        sft: &read_jsonl("sft.jsonl", &*read(&sft)).unwrap(),
        text: &text,
        base_model: &model,
        fingerprint: &files.fingerprint(),
        context: checkpoint.config.max_position_embeddings,
        outlines: None,
        load: &mut load,
        external: None,
    };
    block_on(cream::run(inputs, &mut Directory::lock(&by_library).unwrap(), &mut ())).unwrap();
    assert_same_tree(&by_program, &by_library, "run by program and library");
}
