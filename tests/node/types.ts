// Compiled by package.mjs, and not run: what a caller in TypeScript relies on.
import init, { Device, MemoryStore, Model, Run, Trainer, config, demo, evaluate, report, version, type Completions, type Metrics, type Pair, type Scores, type Store, type Summary } from "cream-web";
import * as core from "cream-web/core";

await Promise.all([init(), core.default()]);
export const text: string = version();

export async function all(file: Blob, signal: AbortSignal): Promise<void> {
  const device: Device = await Device.gpu();
  const model: Model = await Model.open(file, device, { name: "m", signal, onLoading: ({ stage, done }) => console.log(stage, done) });
  const answer: Completions = await model.generate([{ role: "user", content: "?" }], { temperature: 0, signal });
  const [scores]: Scores[] = await model.score([answer]);
  const adapter = model.newAdapter({ r: 4 });
  const trainer: Trainer = Trainer.create(model, adapter, { beta: 0.1, loss: "cream" });
  const pair: Pair = { id: "a", prompt: "?", chosen: "x", rejected: "y", consistency: 1, ref_chosen_logps: scores?.logps[0] ?? 0, ref_rejected_logps: 0 };
  const metrics: Metrics = await trainer.step([pair], { signal });
  const state: Uint8Array = await trainer.save();
  await trainer.restore(state);
  const store: Store = new MemoryStore();
  const run: Run = await Run.open(model, { prompts: demo().prompts, config: config({ beta: 0.1 }), method: "cream", store, reward: (rows) => rows.map(({ id }) => ({ id, rewards: [1] })) });
  const summaries: Summary[] = await run.start({ signal, onUpdate: ({ stage }) => console.log(stage) });
  console.log(metrics.loss, summaries.length, await report(store), (await evaluate(model, demo().questions, { adapter })).acc);
  // @ts-expect-error: no such method.
  await Run.open(model, { prompts: [], method: "dpo", store });
  // @ts-expect-error: a store has eight functions.
  await Run.open(model, { prompts: [], store: { read: async () => undefined } });
}

const rewards: Float64Array = core.implicitRewards(0.1, new Float64Array(2), new Float64Array(2));
export const measures: core.Measure[] = ["kendall", "kendall-b", "spearman", "top-order"];
export const c: number | undefined = core.consistency(rewards, rewards, "spearman", "threshold:0.5");
export const pair: core.Pair | undefined = core.choosePair(rewards);
const logps: core.PairLogps = { chosen: -1, rejected: -2, reference_chosen: -1, reference_rejected: -2 };
export const loss: core.PairLoss = core.pairLoss("cream", 0.1, c ?? 1, logps, { weight: 0.1, tokens: 3 });
// @ts-expect-error: no such loss.
core.pairLoss("hinge", 0.1, 1, logps);
// @ts-expect-error: no such map.
core.consistency(rewards, rewards, "kendall", "square");
