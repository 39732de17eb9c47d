// WebGPU in Chromium, in software: the package beside its own CPU, counts of calls, and the page's whole round, whose adapter the
// program reads; a device that is lost, runs out of memory or is too small. Usage: node gpu.mjs, after cargo xtask web; CREAM_PROGRAM
// is the program. Any doubt is an uncaught error.

import assert from "node:assert/strict";
import { join } from "node:path";

import { comparedWithProgram, finished, GPU, LOGPS, repository, serve, sessionOf, started, told, visit, within } from "./served.mjs";

const SLOW = 900_000;
const FILES = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"];
const own = ["48 + 37", "61 + 89", "75 + 48", "68 + 57"].map((sum, i) => `&own=${encodeURIComponent(JSON.stringify([String(i), `What is ${sum}?`]))}`).join("");
const ROUND = `model=tiny&methods=cream&iterations=1&sample.completions=2&sample.max_new_tokens=5&sample.temperature=1.5&sft=0&questions=0&train.batch_size=4${own}`;

const blank = { "": "<!doctype html><title>test</title>" };
const icon = (path, _, response) => path === "/favicon.ico" && (response.writeHead(204).end(), true);
const pkg = await serve(join(repository, "web/pkg"), { pages: blank, special: icon });
const tiny = await serve(join(repository, "crates/demo/model"));
const files = Object.fromEntries(await Promise.all(FILES.map(async (name) => [name, [...new Uint8Array(await (await fetch(tiny.url + name)).arrayBuffer())]])));
tiny.close();

await within(GPU, async (browser) => {
  const page = await visit(browser, pkg);
  page.on("console", (message) => message.type() === "log" && console.log(message.text()));
  const seen = await page.evaluate(async ({ files }) => {
    const cream = await import("/cream.js");
    await cream.default();
    const clock = (() => {
      let last = performance.now();
      return (what) => {
        console.log(`${what}: ${((performance.now() - last) / 1000).toFixed(1)} s`);
        last = performance.now();
      };
    })();
    const source = Object.fromEntries(Object.entries(files).map(([name, bytes]) => [name, Uint8Array.from(bytes)]));
    const gpu = await cream.Device.gpu();
    const stages = {};
    const onGpu = await cream.Model.open(source, gpu, { slots: 1, onLoading: ({ stage, total }) => (stages[stage] = total) });
    clock(`loaded, with ${stages.pipelines} pipelines`);
    const onCpu = await cream.Model.open(source, cream.Device.cpu());
    const { prompts, questions } = cream.demo();

    const rows = prompts.slice(0, 4).map((prompt) => ({ ...prompt, completions: ["42", "abc", "the end"] }));
    const scores = [await onGpu.score(rows), await onCpu.score(rows)];
    clock("scored");
    const before = gpu.counts;
    const answers = [];
    for (const model of [onGpu, onCpu]) answers.push(await model.generate(prompts[0].prompt, { temperature: 0, max_new_tokens: 4 }));
    const after = gpu.counts;
    clock("answered");
    const counts = Object.fromEntries(Object.keys(after).map((key) => [key, after[key] - before[key]]));

    const pairs = questions.slice(0, 2).map(({ id, prompt, answer }) => ({ id, prompt, chosen: answer, rejected: "?", consistency: 0.9, ref_chosen_logps: -3, ref_rejected_logps: -3 }));
    const losses = [];
    for (const model of [onGpu, onCpu]) {
      const trainer = cream.Trainer.create(model, model.newAdapter({ r: 4, seed: 1 }), { learning_rate: 1e-2, beta: 0.5 });
      losses.push([(await trainer.step(pairs)).loss, (await trainer.step(pairs)).loss]);
    }
    clock("trained");

    gpu.destroy();
    const lost = await onGpu.score(rows).catch((error) => [error.name, error.message]);
    return { name: gpu.name, stages, scores, answers, counts, losses, lost };
  }, { files });
  console.log(JSON.stringify({ ...seen, scores: undefined }));
  seen.scores[0].forEach((row, i) => row.logps.forEach((logp, j) => assert.ok(Math.abs(logp - seen.scores[1][i].logps[j]) <= LOGPS, `${row.id} ${j}: ${logp}, on the CPU ${seen.scores[1][i].logps[j]}`)));
  assert.ok(seen.stages.pipelines > 0 && seen.stages.weights > 0);
  assert.deepEqual(seen.answers[0], seen.answers[1]);
  const steps = seen.answers[0].token_ids[0].length;
  assert.ok(steps > 2, `${steps} steps`);
  // The prompt's pass and the cache take a few of their own.
  assert.ok(seen.counts.writes <= steps + 2 && seen.counts.submissions <= steps + 3 && seen.counts.reads <= 2, `${JSON.stringify(seen.counts)} for ${steps} steps`);
  seen.losses[0].forEach((loss, i) => assert.ok(Math.abs(loss - seen.losses[1][i]) <= LOGPS, `step ${i}: ${loss}, on the CPU ${seen.losses[1][i]}`));
  assert.ok(seen.losses[0][1] < seen.losses[0][0]);
  assert.equal(seen.lost[0], "DeviceLost", seen.lost[1]);
  assert.deepEqual(page.complaints, []);
});
pkg.close();

/** A device that goes away when a tab of the same page asks for it. */
const LOSABLE = "const ask = GPUAdapter.prototype.requestDevice; GPUAdapter.prototype.requestDevice = async function (d) { const device = await ask.call(this, d); new BroadcastChannel('lose').onmessage = () => device.destroy(); return device; };";
const FULL = "const pop = GPUDevice.prototype.popErrorScope; let n = 0; GPUDevice.prototype.popErrorScope = async function () { const error = await pop.call(this); return ++n === 3 ? new GPUOutOfMemoryError('no room for a buffer') : error; };";
const SMALL = "Object.defineProperty(GPUSupportedLimits.prototype, 'maxComputeInvocationsPerWorkgroup', { get: () => 64 });";

const server = await serve(join(repository, "web/dist"));
await within(GPU, async (browser) => {
  const page = await visit(browser, server, ROUND);
  const start = performance.now();
  await page.click("#start");
  await finished(page, SLOW);
  assert.doesNotMatch(await page.textContent("#device"), /CPU/);
  const off = await comparedWithProgram(page, await sessionOf(page));
  console.log(`ok  a round on WebGPU, ${((performance.now() - start) / 1000).toFixed(0)} s; log-probs there and by the program: ${off} nats apart at most`);
  assert.deepEqual(page.complaints, []);

  await started(page, SLOW);
  await page.evaluate(() => new BroadcastChannel("lose").postMessage(null));
  await told(page, "The graphics card went away", SLOW);
  await page.click("#messages button:has-text('Go on with the CPU')");
  await finished(page, SLOW);
  assert.match(await page.textContent("#device"), /CPU/);
  console.log("ok  a device lost in mid-run, and the run taken up on the CPU");
}, LOSABLE);

await within(GPU, async (browser) => {
  const page = await visit(browser, server, ROUND);
  await page.click("#start");
  await told(page, "There is not enough memory");
  console.log("ok  a device out of memory");
}, FULL);

await within(GPU, async (browser) => {
  const page = await visit(browser, server, ROUND);
  await started(page);
  assert.match(await page.textContent("#device"), /CPU, since the GPU cannot be used: .*its limit maxComputeInvocationsPerWorkgroup is 64/);
  console.log("ok  limits too small");
}, SMALL);

server.close();
console.log("ok");
