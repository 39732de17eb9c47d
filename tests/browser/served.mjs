// What the tests of the page share: a server of folders under the strict policy, a browser, zip files, the program.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createReadStream, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

export const repository = fileURLToPath(new URL("../..", import.meta.url));
const program = process.env.CREAM_PROGRAM;
assert.ok(program, "CREAM_PROGRAM is not set: expected the program to compare with");
/** Log-probs of this engine on any two devices, nats. */
export const LOGPS = 1e-3;

const TYPES = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".json": "application/json", ".svg": "image/svg+xml", ".wasm": "application/wasm" };
/** That of a host that means it. */
const POLICY = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'; object-src 'none'; base-uri 'none'";

/** Serves a folder, and pages of the test's own by name; what `special` answers is not looked for. */
export async function serve(folder, { pages = {}, special = () => false, policy = POLICY } = {}) {
  const server = createServer((request, response) => {
    const path = decodeURIComponent(new URL(request.url, "http://x").pathname);
    if (special(path, request, response)) return;
    const headers = { "content-security-policy": policy, "content-type": TYPES[extname(path)] ?? (path === "/" ? "text/html" : "application/octet-stream") };
    if (path.slice(1) in pages) return response.writeHead(200, { ...headers, "content-type": "text/html" }).end(pages[path.slice(1)]);
    const file = join(folder, path === "/" ? "index.html" : path);
    if (!existsSync(file) || !statSync(file).isFile()) return response.writeHead(404).end();
    response.writeHead(200, { ...headers, "content-length": statSync(file).size });
    createReadStream(file).pipe(response);
  });
  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
  return { url: `http://127.0.0.1:${server.address().port}/`, close: () => server.close() };
}

const QUIET = ["--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
/** WebGPU in software. */
export const GPU = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"];
export const NO_GPU = ["--disable-gpu", "--disable-features=WebGPU"];

/** Works in a browser of its own, with an empty profile; `before` is put in front of the worker's script. */
export async function within(flags, work, before = "") {
  const profile = mkdtempSync(join(tmpdir(), "cream-page-"));
  const browser = await chromium.launchPersistentContext(profile, { executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", headless: true, args: [...QUIET, ...flags] });
  if (before) await browser.route(/engine\.worker.*\.js/, async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, body: `{ ${before} }\n${await response.text()}` });
  });
  try {
    return await work(browser);
  } finally {
    await browser.close();
    rmSync(profile, { recursive: true, force: true });
  }
}

/** A tab that keeps what it complains of: errors, warnings, requests to anyone but the server. */
export async function visit(browser, server, fragment = "") {
  const page = await browser.newPage();
  page.complaints = [];
  page.on("pageerror", (error) => page.complaints.push(String(error)));
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && page.complaints.push(message.text()));
  page.on("request", (request) => request.url().startsWith("http") && !request.url().startsWith(server.url) && page.complaints.push(`asks for ${request.url()}`));
  await page.goto(`${server.url}${fragment && `#${fragment}`}`);
  return page;
}

export const state = (page, name, timeout = 240_000) => page.waitForSelector(`html[data-state="${name}"]`, { timeout });
/** Until the run has ended; a message meanwhile is a failure. */
export async function finished(page, timeout = 240_000) {
  const ended = await page.waitForFunction(() => (document.documentElement.dataset.state === "finished" ? "finished" : document.querySelector("#messages").textContent), null, { timeout, polling: 500 });
  assert.equal(await ended.jsonValue(), "finished", await page.textContent("#pace"));
}

export const told = (page, words, timeout = 60_000) => page.waitForFunction((words) => document.querySelector("#messages")?.textContent.includes(words), words, { timeout });

/** Starts, until the run, not the recorded one, has drawn something. */
export async function started(page, timeout = 60_000) {
  await page.click("#start");
  await state(page, "running");
  await page.waitForFunction(() => document.querySelector("#origin").dataset.origin === "live" && /completions|prompts|steps/.test(document.querySelector("#pace").textContent), null, { timeout });
}

export async function downloaded(page, name) {
  const [download] = await Promise.all([page.waitForEvent("download"), page.click(`#downloads >> text=${name}`)]);
  return readFileSync(await download.path());
}

/** The files of the session, without the folder that has its name. */
export const sessionOf = async (page) => new Map([...unzipped(await downloaded(page, "Session"))].map(([name, bytes]) => [name.slice(name.indexOf("/") + 1), bytes]));

/** How far the log-probs of M1 in a session's first round are from the program's, and whether its adapter is what is handed out. */
export async function comparedWithProgram(page, session) {
  const file = (name) => session.get(`cream/${name}`);
  const adapter = (round) => Object.fromEntries(["adapter_config.json", "adapter_model.safetensors"].map((name) => [name, file(`iteration-${round}/${name}`)]));
  const over = file("iteration-0/summary.json") ? adapter(0) : null;
  const off = sameLogps(rowsOf(file("iteration-1/scores-current.jsonl")), scoredByProgram(file("iteration-1/completions.jsonl"), over));
  assert.deepEqual(await downloaded(page, "Adapter, weights alone"), adapter(1)["adapter_model.safetensors"]);
  return off;
}

/** The files of a zip whose entries are stored as they are. */
export function unzipped(bytes) {
  const files = new Map();
  for (let at = 0; bytes.readUInt32LE(at) === 0x04034b50; ) {
    assert.equal(bytes.readUInt16LE(at + 8), 0, "stored");
    const [size, name, extra] = [bytes.readUInt32LE(at + 22), bytes.readUInt16LE(at + 26), bytes.readUInt16LE(at + 28)];
    const start = at + 30 + name + extra;
    files.set(bytes.toString("utf8", at + 30, at + 30 + name), bytes.subarray(start, start + size));
    at = start + size;
  }
  return files;
}

export const rowsOf = (bytes) => bytes.toString("utf8").trim().split("\n").map((line) => JSON.parse(line));

/** What the program says of the same rows on the CPU, under an adapter's files if there are any. */
export function scoredByProgram(completions, adapter) {
  const scratch = mkdtempSync(join(tmpdir(), "cream-scores-"));
  try {
    writeFileSync(join(scratch, "rows.jsonl"), completions);
    for (const [name, bytes] of Object.entries(adapter ?? {})) writeFileSync(join(scratch, name), bytes);
    const model = join(repository, "crates/demo/model");
    execFileSync(program, ["score", "--device", "cpu", "--quiet", "--model", model, ...(adapter ? ["--adapter", scratch] : []), "--input", join(scratch, "rows.jsonl"), "--output", join(scratch, "scores.jsonl")]);
    return rowsOf(readFileSync(join(scratch, "scores.jsonl")));
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

export function sameLogps(got, expected) {
  assert.equal(got.length, expected.length);
  let most = 0;
  got.forEach((row, i) => row.logps.forEach((logp, j) => {
    const off = Math.abs(logp - expected[i].logps[j]);
    most = Math.max(most, off);
    assert.ok(off <= LOGPS, `${row.id}, completion ${j}: ${logp}, expected ${expected[i].logps[j]}`);
  }));
  return most;
}
