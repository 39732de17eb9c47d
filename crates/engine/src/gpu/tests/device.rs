//! A device that somebody else opened, one that fails, and what it is given to do.

use pollster::block_on;

use super::super::adapter::Errors;
use super::super::recording::LONGEST_UPLOAD;
use crate::gpu::{Gpu, testing};
use crate::tests::models::{batch, config, groups, model};
use crate::tests::random::Random;
use crate::{
    AdamW, Adapter, Backend, Error, GenerateOptions, Heads, LoraConfig, Matrix, Request, Segment, Trained, Trainer,
    Uses,
};

/// Of its own: what fails, or counts, is not others'.
fn own() -> Option<Gpu> {
    testing::gpu()?;
    Some(block_on(Gpu::new(0)).unwrap())
}

/// As a host opens one: portable, with the limits that WebGPU grants everywhere.
fn hosts() -> Option<(wgpu::Adapter, wgpu::Device, wgpu::Queue)> {
    testing::gpu()?;
    let (_, adapter) = block_on(super::super::adapter::sorted()).into_iter().next()?;
    let (device, queue) = block_on(adapter.request_device(&wgpu::DeviceDescriptor::default())).unwrap();
    Some((adapter, device, queue))
}

fn sum(gpu: &Gpu, values: &[f32]) -> Result<f32, Error> {
    let (squares, mut out) = (gpu.upload(values), gpu.buffer(1));
    gpu.sum_of_squares(&[&squares], &mut out);
    Ok(block_on(gpu.read(&out))?[0])
}

fn problem<T>(result: Result<T, Error>) -> String {
    match result {
        Err(Error::Device { problem, .. }) => problem,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("no error"),
    }
}

#[test]
fn a_hosts_device_is_used_under_its_own_limits() {
    let Some((adapter, device, queue)) = hosts() else { return };
    for given in [None, Some(&adapter)] {
        let gpu = Gpu::from_device(device.clone(), queue.clone(), given, Errors::Taken).unwrap();
        assert_eq!(gpu.0.binding_bytes, wgpu::Limits::default().max_storage_buffer_binding_size);
        assert_eq!(gpu.info().max_binding_bytes, gpu.0.binding_bytes);
        assert_eq!(sum(&gpu, &[3.0, 4.0]).unwrap(), 25.0);
        drop(gpu);
        // Its host's still.
        device.poll(wgpu::PollType::wait_indefinitely()).unwrap();
    }
    let required_limits = wgpu::Limits { max_storage_buffers_per_shader_stage: 4, ..wgpu::Limits::default() };
    let descriptor = wgpu::DeviceDescriptor { required_limits, ..Default::default() };
    let (device, queue) = block_on(adapter.request_device(&descriptor)).unwrap();
    let problem = problem(Gpu::from_device(device, queue, None, Errors::Taken));
    assert!(problem.contains("maxStorageBuffersPerShaderStage is 4, expected at least 8"), "{problem}");
}

#[test]
fn a_host_that_keeps_its_errors_passes_them_on() {
    let Some((_, device, queue)) = hosts() else { return };
    let heard = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let hears = heard.clone();
    device.on_uncaptured_error(std::sync::Arc::new(move |error: wgpu::Error| hears.lock().unwrap().push(error)));
    let gpu = Gpu::from_device(device, queue, None, Errors::Reported).unwrap();
    invalid(&gpu);
    let error = heard.lock().unwrap().pop().expect("its host was told");
    assert_eq!(sum(&gpu, &[1.0]).unwrap(), 1.0);
    gpu.report(&error);
    assert_eq!(problem(sum(&gpu, &[1.0])), error.to_string());
    assert_eq!(sum(&gpu, &[1.0]).unwrap(), 1.0);
    gpu.report_lost("for a test");
    for _ in 0..2 {
        assert_eq!(problem(sum(&gpu, &[1.0])), "device lost: for a test");
    }
}

/// Something that the device does not take.
fn invalid(gpu: &Gpu) {
    let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::STORAGE;
    let _ = gpu.0.device.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: 256,
        usage,
        mapped_at_creation: false,
    });
}

#[test]
fn an_error_is_told_by_the_next_read_and_then_the_device_works_again() {
    let Some(gpu) = own() else { return };
    let kept = gpu.upload(&[1.0, 2.0]);
    let heads = Heads { query: 1, key_value: 1, dim: 64 };
    let too_long =
        |gpu: &Gpu| drop(gpu.buffer(usize::try_from(gpu.0.device.limits().max_buffer_size / 4).unwrap() + 1));
    let out_of_memory = |gpu: &Gpu| gpu.report(&wgpu::Error::OutOfMemory { source: "none left".into() });
    type Fail<'a> = &'a dyn Fn(&Gpu);
    let failures: [(&str, Fail<'_>); 3] =
        [("largest has", &too_long), ("Validation", &invalid), ("Memory", &out_of_memory)];
    for (said, fail) in failures {
        fail(&gpu);
        // Nothing that goes on for now is sent.
        let before = gpu.counts();
        let plan = gpu.plan(&[Segment { query_len: 1, ..Segment::default() }]);
        let [q, k, v] = [(); 3].map(|()| gpu.zeros(64));
        let (mut out, mut lse) = (gpu.buffer(64), gpu.buffer(1));
        gpu.attention(&q, &k, &v, &plan, heads, &mut out, &mut lse);
        assert_eq!(gpu.counts(), before);
        let problem = problem(block_on(gpu.read(&out)));
        assert!(problem.contains(said), "{problem}");
        assert_eq!(sum(&gpu, &[3.0]).unwrap(), 9.0, "after {problem}");
        assert_eq!(block_on(gpu.read(&kept)).unwrap(), [1.0, 2.0], "after {problem}");
    }
    gpu.destroy();
    for _ in 0..2 {
        assert!(problem(sum(&gpu, &[1.0])).contains("lost"));
    }
}

#[test]
fn what_was_being_made_as_the_device_failed_is_refused() {
    let Some(gpu) = own() else { return };
    let before = gpu.upload(&[5.0]);
    let zeros = gpu.zeros(64);
    invalid(&gpu);
    problem(block_on(gpu.finish()));
    let told = problem(block_on(gpu.read(&zeros)));
    assert!(told.contains("made anew"), "{told}");
    let mut out = gpu.buffer(1);
    gpu.sum_of_squares(&[&zeros], &mut out);
    assert!(problem(block_on(gpu.read(&out))).contains("made anew"));
    // What the queue fills does not hang on the kernels that were given up, nor what was there.
    assert_eq!(block_on(gpu.read(&before)).unwrap(), [5.0]);
    let fresh = gpu.zeros(64);
    assert_eq!(block_on(gpu.read(&fresh)).unwrap(), [0.0; 64]);
}

/// A buffer that the device had no memory for is invalid for good.
#[test]
fn what_may_be_no_memory_is_not_lent_again() {
    let Some(gpu) = own() else { return };
    block_on(gpu.finish()).unwrap();
    let held = gpu.meter().held();
    let buffers = [false, true].map(|before| {
        let array = gpu.buffer(1000);
        let buffer = array.storage().buffer.clone();
        // One goes back to the pool before the error is told, the other after.
        (buffer, (!before).then_some(array))
    });
    gpu.report(&wgpu::Error::OutOfMemory { source: "none left".into() });
    problem(block_on(gpu.finish()));
    let taken = buffers.map(|(buffer, array)| {
        drop(array);
        buffer
    });
    for _ in 0..4 {
        let array = gpu.buffer(1000);
        assert!(taken.iter().all(|buffer| array.storage().buffer != buffer));
        std::mem::forget(array);
    }
    let fresh = 4 * 4096;
    assert!(gpu.meter().held() <= held + fresh, "{} bytes, {held} before", gpu.meter().held());
}

/// A drop frees nothing in a browser. What is recorded runs first.
#[test]
fn trimmed_storage_is_destroyed() {
    let Some(gpu) = own() else { return };
    let (x, mut out) = (gpu.upload(&vec![1.0; 1000]), gpu.buffer(1));
    gpu.sum_of_squares(&[&x], &mut out);
    let buffer = x.storage().buffer.clone();
    drop(x);
    gpu.trim();
    assert_eq!(block_on(gpu.read(&out)).unwrap(), [1000.0]);
    let scope = gpu.0.device.push_error_scope(wgpu::ErrorFilter::Validation);
    gpu.0.queue.write_buffer(&buffer, 0, &[0; 4]);
    gpu.0.queue.submit([]);
    let error = block_on(scope.pop()).map(|error| error.to_string()).unwrap_or_default();
    assert!(error.contains("destroyed"), "{error:?}");
}

#[test]
fn short_arrays_go_in_one_write() {
    let Some(gpu) = own() else { return };
    let before = gpu.counts();
    let lens = [1, 3, 64, 1000, LONGEST_UPLOAD / 4];
    let arrays = lens.map(|len| gpu.upload(&(0..len).map(|i| i as f32).collect::<Vec<_>>()));
    let values = block_on(gpu.read_all(&arrays.each_ref())).unwrap();
    let after = gpu.counts();
    assert_eq!((after.writes - before.writes, after.submissions - before.submissions), (1, 1));
    for (values, len) in values.iter().zip(lens) {
        assert!(values.iter().enumerate().all(|(i, &value)| value == i as f32) && values.len() == len);
    }
    // More than go together, and one that goes alone.
    let many: Vec<_> = (0..40).map(|i| gpu.upload(&vec![i as f32; LONGEST_UPLOAD / 4])).collect();
    let long = gpu.upload(&vec![7.0; LONGEST_UPLOAD]);
    for (i, array) in many.iter().enumerate() {
        assert!(block_on(gpu.read(array)).unwrap().iter().all(|&value| value == i as f32), "array {i}");
    }
    assert!(block_on(gpu.read(&long)).unwrap().iter().all(|&value| value == 7.0));
}

/// Reads of several arrays wait once.
#[test]
fn a_state_and_an_adapter_are_read_at_once() {
    let Some(gpu) = own() else { return };
    let random = &mut Random::seeded(1);
    let mut model = model(&gpu, random, &config(), false);
    let mut adapter = Adapter::new(&gpu, &config(), LoraConfig { r: 4, ..LoraConfig::default() }, 1).unwrap();
    let trainer = Trainer::new(&model, Some(&adapter), AdamW::default(), false);
    let reads = |work: &mut dyn FnMut()| {
        let before = gpu.counts().reads;
        work();
        gpu.counts().reads - before
    };
    assert_eq!(reads(&mut || drop(block_on(adapter.to_peft(&gpu, "base")).unwrap())), 1);
    assert_eq!(reads(&mut || drop(block_on(trainer.state(Trained::new(&mut model, Some(&mut adapter)))).unwrap())), 1);
    let waits = 2 + config().num_hidden_layers as u64;
    assert_eq!(reads(&mut || drop(block_on(model.tensors(Some(&adapter))).unwrap())), waits);
}

/// All that work would use is there before it, and nothing else has happened.
#[test]
fn pipelines_are_made_before_they_are_used() {
    let Some(gpu) = own() else { return };
    let random = &mut Random::seeded(1);
    let mut model = model(&gpu, random, &config(), false);
    let mut adapter = Adapter::new(&gpu, &config(), LoraConfig { r: 4, ..LoraConfig::default() }, 1).unwrap();
    let sampling = cream_core::Sampling { repetition_penalty: 1.1, ..Default::default() };
    let generate = GenerateOptions { max_new_tokens: 20, sampling, seed: 0, stop_tokens: vec![], slots: 4 };
    let uses = Uses { generate: Some(generate.clone()), tokens: 200, score: true, train: Some(false) };
    let (held, before, mut told) = (gpu.meter().held(), gpu.counts(), Vec::new());
    block_on(model.prepare(Some(&mut adapter), &uses, |made, of| {
        told.push((made, of));
        Ok(())
    }))
    .unwrap();
    assert_eq!((gpu.counts(), gpu.meter().held()), (before, held));
    let pipelines = gpu.0.pipelines();
    let all: Vec<(usize, usize)> = (0..=pipelines).map(|made| (made, pipelines)).collect();
    assert_eq!(told, all);

    let request = |completions: usize| Request { id: "0".into(), prompt: vec![1; 90], completions };
    for completions in [1, 4] {
        let finished = |_: crate::Drawn<'_>| -> crate::Result<()> { Ok(()) };
        block_on(model.generate(Some(&adapter), &[request(completions)], &generate, finished)).unwrap();
    }
    let mut trainer = Trainer::new(&model, Some(&adapter), AdamW::default(), false);
    let mut rows = groups(random, config().vocab_size);
    while rows.iter().map(crate::Group::rows).sum::<usize>() < 200 {
        rows.extend(groups(random, config().vocab_size));
    }
    let loss = |sums: &[f64]| -> crate::Result<Vec<f64>> { Ok(vec![1.0; sums.len()]) };
    block_on(trainer.accumulate(&model, Some(&adapter), &batch(&rows), loss)).unwrap();
    block_on(trainer.update(Trained::new(&mut model, Some(&mut adapter)), 1e-3)).unwrap();
    assert_eq!(gpu.0.pipelines(), pipelines, "made afterwards");
    // Nothing to do the second time.
    told = Vec::new();
    block_on(model.prepare(Some(&mut adapter), &uses, |made, of| {
        told.push((made, of));
        Ok(())
    }))
    .unwrap();
    assert_eq!(told, [(0, 0)]);
}

/// The weights of a loaded model outlive what its first request did to the device.
#[test]
fn a_model_outlives_a_request_that_fails() {
    let Some(gpu) = own() else { return };
    let weight = Matrix::<Gpu>::dense(gpu.upload(&[2.0; 64]), 1, 64);
    let x = gpu.upload(&[1.0; 64]);
    let product = |gpu: &Gpu| {
        let mut out = gpu.buffer(1);
        gpu.matmul(&x, &weight, 1.0, false, &mut out);
        block_on(gpu.read(&out))
    };
    invalid(&gpu);
    problem(product(&gpu));
    assert_eq!(product(&gpu).unwrap(), [128.0]);
}
