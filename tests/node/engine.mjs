// cream-web under node, on the CPU: the tiny model answers, is scored as the program scores it, learns a step, and goes through a
// whole run, also one that is stopped and taken up. `cargo xtask web` makes web/pkg first; CREAM_PROGRAM is the program.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

import init, { Device, MemoryStore, Model, Run, Trainer, config, demo, evaluate, report } from "../../web/pkg/node.js";

/** Log-probs of this engine in wasm and natively, nats. */
const LOGPS = 1e-3;

const program = process.env.CREAM_PROGRAM;
const folder = fileURLToPath(new URL("../../crates/demo/model", import.meta.url));
const files = () =>
  Object.fromEntries(
    ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"].map((name) => [name, new Uint8Array(readFileSync(join(folder, name)))]),
  );
const scratch = mkdtempSync(join(tmpdir(), "cream-engine-"));
let model;

before(async () => {
  await init();
  model = await Model.open(files(), Device.cpu(), { name: "cream-demo" });
});
after(() => rmSync(scratch, { recursive: true }));

/** What the program says of the same rows. */
const scoredByProgram = (rows, adapter) => {
  const [input, output] = [join(scratch, "rows.jsonl"), join(scratch, "scores.jsonl")];
  writeFileSync(input, rows.map((row) => JSON.stringify(row) + "\n").join(""));
  const over = adapter ? ["--adapter", adapter] : [];
  execFileSync(program, ["score", "--device", "cpu", "--quiet", "--model", folder, ...over, "--input", input, "--output", output]);
  return readFileSync(output, "utf8").trim().split("\n").map(JSON.parse);
};
const close = (got, expected, tolerance) => {
  assert.equal(got.length, expected.length);
  got.forEach((row, i) => row.logps.forEach((logp, j) => assert.ok(Math.abs(logp - expected[i].logps[j]) <= tolerance, `${row.id} ${j}: ${logp}, expected ${expected[i].logps[j]}`)));
};
const small = { iterations: 1, sample: { completions: 3, chunk_size: 2, max_new_tokens: 12 }, pair: { cut: "keep" }, train: { batch_size: 4 }, lora: { r: 4 } };
const newRun = (store, prompts = demo().prompts.slice(0, 6)) =>
  Run.open(model, { prompts, sft: demo().sft.slice(0, 8), config: { ...demo().config, ...small }, method: "cream", store });
const contents = async (store) => {
  const names = (await Promise.all(["", "iteration-0/", "iteration-1/"].map((start) => store.names(start)))).flat().sort();
  return Promise.all(names.map(async (name) => [name, Buffer.from(await store.read(name)).toString("latin1")]));
};

test("it answers, tells of the text as it is drawn, and stops at once", async () => {
  const heard = [];
  const { completions, finish } = await model.generate("What is 12 + 30?", { temperature: 0, onText: (_, text) => heard.push(text) });
  assert.equal(heard.at(-1), completions[0]);
  assert.ok(heard.length > 1 && heard.every((text) => completions[0].startsWith(text)), heard.join("|"));
  assert.deepEqual(finish ?? ["stop"], ["stop"]);
  const controller = new AbortController();
  const stopped = model.generate("What is 12 + 30?", { signal: controller.signal, onText: () => controller.abort() });
  await assert.rejects(stopped, { name: "AbortError" });
});

test("files may be bytes, Blobs and streams, and weights are read tensor by tensor", async () => {
  const { "model.safetensors": weights, "tokenizer.json": tokenizer, ...others } = files();
  const [blob, asked] = [new Blob([weights]), []];
  const recorded = { size: blob.size, slice: (from, to) => (asked.push(to - from), blob.slice(from, to)) };
  const rows = [{ id: "a", prompt: "What is 12 + 30?", completions: ["42", "no"] }];
  for (const source of [blob.stream(), blob, recorded]) {
    const other = await Model.open({ ...others, "model.safetensors": source, "tokenizer.json": new Blob([tokenizer]).stream() }, Device.cpu());
    assert.deepEqual(await other.score(rows), await model.score(rows));
    other.free();
  }
  assert.ok(asked.length > 20 && Math.max(...asked) < weights.length / 4, asked.join(" "));
});

test("log-probs are the program's", { skip: !program && "CREAM_PROGRAM is not set" }, async () => {
  const rows = demo().prompts.slice(0, 20).map((prompt, i) => ({ ...prompt, completions: [String(i), "abc", "the end"] }));
  close(await model.score(rows), scoredByProgram(rows), LOGPS);
});

const pairs = () =>
  demo().questions.slice(0, 4).map(({ id, prompt, answer }) => ({ id, prompt, chosen: answer, rejected: "?", consistency: 0.9, ref_chosen_logps: -3, ref_rejected_logps: -3 }));

test("an adapter learns, its state is taken up, and the program reads it", async () => {
  const train = async (steps, state) => {
    const adapter = model.newAdapter({ r: 4, lora_alpha: 8, seed: 1 });
    const trainer = Trainer.create(model, adapter, { learning_rate: 1e-2, beta: 0.5 });
    if (state) await trainer.restore(state);
    const losses = [];
    for (let i = 0; i < steps; i++) losses.push((await trainer.step(pairs())).loss);
    return { adapter, trainer, losses };
  };
  const whole = await train(4);
  assert.ok(whole.losses.at(-1) < whole.losses[0], whole.losses.join());
  const half = await train(2);
  const rest = await train(2, await half.trainer.save());
  assert.deepEqual([...half.losses, ...rest.losses], whole.losses);

  const written = await whole.adapter.files();
  const again = model.loadAdapter(written["adapter_config.json"], written["adapter_model.safetensors"]);
  const rows = pairs().map(({ id, prompt, chosen, rejected }) => ({ id, prompt, completions: [chosen, rejected] }));
  const scores = await model.score(rows, { adapter: whole.adapter });
  close(await model.score(rows, { adapter: again }), scores, 0);
  const moved = (await model.score(rows)).some((row, i) => Math.abs(row.logps[0] - scores[i].logps[0]) > 0.1);
  assert.ok(moved, "the adapter changes nothing");
  if (!program) return;
  for (const [name, bytes] of Object.entries(written)) writeFileSync(join(scratch, name), bytes);
  close(scores, scoredByProgram(rows, scratch), LOGPS);
});

test("a run ends as one that was stopped at every turn and taken up", async () => {
  const whole = new MemoryStore();
  const summaries = await (await newRun(whole)).start();
  assert.deepEqual(summaries.map((summary) => summary.iteration), [0, 1]);
  const expected = await contents(whole);
  assert.ok(expected.some(([name]) => name === "iteration-1/adapter_model.safetensors"));

  const store = new MemoryStore();
  for (let stops = 0; ; stops++) {
    // A chunk of two prompts has seven updates, and what is done of it is lost.
    assert.ok(stops < 60, "it never ends");
    const controller = new AbortController();
    let updates = 0;
    const onUpdate = () => ++updates === 12 && controller.abort();
    const ended = await (await newRun(store)).start({ signal: controller.signal, onUpdate }).then(
      () => true,
      (error) => assert.equal(error.name, "AbortError"),
    );
    if (ended) {
      assert.ok(stops > 2, `${stops} stops`);
      break;
    }
  }
  assert.deepEqual(await contents(store), expected);

  const told = await report(store);
  assert.equal(told.iterations.length, 2);
  assert.equal(told.iterations[1].round.prompts, 6);
  // Other prompts are another run's.
  await assert.rejects((await newRun(store, demo().prompts.slice(1, 7))).start(), /inputs.json: prompts was .* when this run began/);
});

test("rewards may come from outside, and later", async () => {
  const store = new MemoryStore();
  const reward = async (rows) => rows.map(({ id, completions }) => ({ id, rewards: completions.map((text, i) => text.length + i / 10) }));
  const settings = { ...small, sample: { ...small.sample, max_new_tokens: 6 } };
  const run = await Run.open(model, { prompts: demo().prompts.slice(0, 6), config: settings, method: "oracle", store, reward });
  await run.start();
  assert.ok(await store.exists("iteration-1/rewards-current.jsonl"));
});

test("right answers are counted", async () => {
  const { n, acc } = await evaluate(model, demo().questions.slice(0, 30), { max_new_tokens: 12 });
  assert.equal(n, 30);
  assert.ok(acc > 0.2 && acc < 1, `${acc}`);
});

test("what is wrong is said in one line", async () => {
  const line = (pattern) => (error) => error instanceof Error && !error.message.includes("\n") && pattern.test(error.message);
  const cut = { ...files(), "model.safetensors": files()["model.safetensors"].slice(0, 1000) };
  await assert.rejects(Model.open(cut, Device.cpu()), line(/model\.safetensors/));
  await assert.rejects(Model.open(new Uint8Array([1, 2, 3, 4, 5]), Device.cpu()), line(/model\.gguf: magic/));
  await assert.rejects(Model.open(new Blob([]), Device.cpu(), { nme: "x" }), line(/options: unknown field `nme`/));
  await assert.rejects(model.generate("x", { temprature: 1 }), line(/unknown field `temprature`/));
  await assert.rejects(model.score([{ id: "a", prompt: "b" }]), line(/completions: line 1: .*completions/));
  assert.throws(() => config({ beta: -1 }), line(/beta: -1, expected/));
  assert.throws(() => config({ sample: { n: 1 } }), line(/unknown key sample\.n/));
  await assert.rejects(Device.gpu(), line(/WebGPU/));
});
