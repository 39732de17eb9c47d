// Makes public/recorded.json from a real run of the program: node record.mjs PROGRAM [DIR]
//
// Runs `PROGRAM demo` into DIR (a new temporary folder, unless one that holds such a run already is named), takes the reports
// that it wrote itself (report.html carries them as JSON), and measures every model once more with sampled answers.

import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

const METHODS = ["cream", "srlm"];
const target = new URL("public/recorded.json", import.meta.url);

const [program, given] = process.argv.slice(2);
if (!program) throw new Error("usage: node record.mjs PROGRAM [DIR]");
const folder = given ?? join(mkdtempSync(join(tmpdir(), "cream-record-")), "demo");
const run = (...options) => execFileSync(program, options, { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });
if (!existsSync(join(folder, "seed-0", "compare.json"))) run("demo", "--output", folder);
const seed = join(folder, "seed-0");
const compare = JSON.parse(readFileSync(join(seed, "compare.json"), "utf8"));
const questions = readFileSync(join(seed, "test.jsonl"), "utf8").trim().split("\n").length;

const reports = Object.fromEntries(METHODS.map((method) => [method, trimmed(reportOf(method))]));
const accuracy = compare.methods.flatMap(({ method, models }) => models.map((result, model) => ({
  method, model, n: result.tasks[0].n, greedy: result.tasks[0].acc, sampled: sampled(method, model),
})));
const parameters = JSON.parse(readFileSync(join(seed, "..", "model", "config.json"), "utf8"));
const made = {
  command: "cream demo", model: "tiny", parameters: parametersOf(parameters), prompts: reports.cream.iterations.find((step) => step.round).round.prompts, questions,
  seed: compare.seed,
};
const text = `${JSON.stringify({ made, reports, accuracy })}\n`;
writeFileSync(target, text);
console.log(`recorded.json: ${text.length} bytes, ${gzipSync(text).length} compressed`);

/** The report as the program writes it into its page. */
function reportOf(method) {
  const page = readFileSync(join(seed, method, "report.html"), "utf8");
  const json = /<script type="application\/json" id="report">([\s\S]*?)<\/script>/.exec(page);
  if (!json) throw new Error(`${method}/report.html holds no report`);
  return JSON.parse(json[1]);
}

/** Fewer digits; no reasons for prompts without a pair, and nothing of the machine. */
function trimmed(report) {
  for (const step of report.iterations) {
    if (step.summary?.pairs) step.summary.pairs.skipped = [];
  }
  report.timings.model = "tiny";
  report.timings.stages.forEach((stage) => { stage.peak_bytes = null; });
  return JSON.parse(JSON.stringify(report, (_, value) => (typeof value === "number" && !Number.isInteger(value) ? Number(value.toPrecision(6)) : value)));
}

/** The share of right answers when one is drawn for each question, at temperature 1. */
function sampled(method, model) {
  const path = model === 0 ? join(folder, "model") : join(seed, method, `iteration-${model - 1}`);
  const tasks = rows(readFileSync(join(seed, "test.jsonl"), "utf8"));
  const prompts = join(mkdtempSync(join(tmpdir(), "cream-record-")), "prompts.jsonl");
  writeFileSync(prompts, tasks.map(({ id, prompt }) => `${JSON.stringify({ id, prompt })}\n`).join(""));
  const drawn = rows(run("sample", "--model", path, "--prompts", prompts, "--output", "-", "-n", "1", "--max-new-tokens", "12", "--temperature", "1", "--top-p", "1", "--quiet"));
  const said = new Map(drawn.map((row) => [row.id, row.completions[0].trim()]));
  return tasks.filter(({ id, answer }) => said.get(id) === answer.trim()).length / tasks.length;
}

function rows(text) {
  return text.trim().split("\n").map((line) => JSON.parse(line));
}

function parametersOf({ vocab_size: V, hidden_size: D, num_hidden_layers: L, intermediate_size: F, num_attention_heads: H, num_key_value_heads: K, head_dim: E, tie_word_embeddings: tied }) {
  const width = E ?? D / H;
  return V * D * (tied ? 1 : 2) + L * (D * width * (2 * H + 2 * K) + 3 * D * F + 2 * D) + D;
}
