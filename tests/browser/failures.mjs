// What can go wrong with the page, provoked in Chromium on the CPU: each is told in place, loses nothing, and leaves a way on.
// Usage: node failures.mjs, after cargo xtask web. Any doubt is an uncaught error.

import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { finished, NO_GPU, repository, serve, started, state, told, visit, within } from "./served.mjs";

const RUN = "model=tiny&methods=cream&iterations=1&prompts=8&sample.completions=3&questions=0";
const LONG = "model=tiny&methods=cream&iterations=1&prompts=120&questions=0";
const header = Buffer.concat([Buffer.from("GGUF"), Buffer.from([3, 0, 0, 0]), Buffer.alloc(2 ** 20, 255)]);
const tiny = join(repository, "crates/demo/model");
let asked = [];
/** The answer that breaks off, once the page has some of it: what comes together with the end may never be read. */
let cut = null;

/** Models at addresses: files of the tiny one in ranges, and what is no model. */
function special(path, request, response) {
  if (!path.startsWith("/models/")) return false;
  const name = path.split("/").at(-1);
  const bytes = path.includes("sign-in") ? Buffer.from("<!doctype html><p>sign in") : name.endsWith(".gguf") ? header : existsSync(join(tiny, name)) && readFileSync(join(tiny, name));
  if (path.includes("missing") || !bytes) return response.writeHead(404).end(), true;
  const range = /bytes=(\d+)-(\d+)/.exec(request.headers.range ?? "");
  if (name === "model.safetensors") asked.push(request.headers.range);
  if (!range || path.includes("whole")) return response.writeHead(200, { "content-length": bytes.length }).end(request.method === "HEAD" ? "" : bytes), true;
  const [from, to] = [Number(range[1]), Math.min(Number(range[2]), bytes.length - 1)];
  response.writeHead(206, { "content-range": `bytes ${from}-${to}/${bytes.length}`, "content-length": to - from + 1 });
  if (path.includes("cut") && name === "model.safetensors" && to > 100 && !cut) return (cut = response).write(bytes.subarray(from, from + 1_000_000)), true;
  return response.end(bytes.subarray(from, to + 1)), true;
}

const server = await serve(join(repository, "web/dist"), { special });
async function check(name, fragment, work, before) {
  await within(NO_GPU, async (browser) => {
    const page = await visit(browser, server, fragment);
    await work(page, browser);
    // The browser itself tells of answers that are failures.
    assert.deepEqual(page.complaints.filter((line) => !/Failed to load resource|asks for http:\/\/127\.0\.0\.1:9\//.test(line)), [], name);
    console.log(`ok  ${name}`);
  }, before);
}
const rounds = (page) => page.locator("#rounds-table tbody tr").count();
const choose = async (page, name, bytes) => {
  const file = join(mkdtempSync(join(tmpdir(), "cream-file-")), name);
  writeFileSync(file, bytes);
  await page.setInputFiles("#model-file", file);
  await page.fill("#own-prompts", "one\ntwo");
  await page.dispatchEvent("#own-prompts", "change");
};

await check("a tab closed in mid-run loses no more than a stage; two tabs on one session", LONG, async (page, browser) => {
  await started(page);
  const other = await visit(browser, server);
  await other.click("#sessions .kept .link");
  await told(other, "Another tab works on this session");
  await other.click("#start");
  await told(other, "Another tab works on this session. Go on there");
  await page.close();
  while ((await other.evaluate(() => navigator.locks.query())).held.length) await other.waitForTimeout(100);
  await other.click("#start");
  await finished(other);
  assert.equal(await rounds(other), 1);
});

const refused = "navigator.storage.getDirectory = () => Promise.reject(new DOMException('Security error when calling GetDirectory', 'SecurityError'))";
await check("a private window without OPFS", RUN, async (page) => {
  await page.waitForFunction(() => /live in memory/.test(document.querySelector("#storage").textContent));
  await page.click("#start");
  await finished(page);
}, refused);

await check("a browser that cannot move files", RUN, async (page) => {
  await started(page);
  await page.reload();
  await page.click("text=Take it up");
  await finished(page);
  assert.equal(await rounds(page), 1);
}, "delete FileSystemFileHandle.prototype.move");

const full = "const w = FileSystemSyncAccessHandle.prototype.write; let n = 0; FileSystemSyncAccessHandle.prototype.write = function (b, o) { if (++n > 12) throw new DOMException('full', 'QuotaExceededError'); return w.call(this, b, o) }";
await check("a full disk", RUN, async (page) => {
  await page.click("#start");
  await told(page, "no more room on disk");
  await state(page, "paused");
}, full);

await check("a link with settings that the page cannot use", "model=tiny&beta=-1&methods=cream,dpo&colour=red&prompts=8", async (page) => {
  await told(page, "beta: -1, expected a number from 0.001 to 10");
  await told(page, "methods: dpo, expected cream or srlm");
  await told(page, "colour: no setting of this page");
});

await check("files that are no models, and cut ones", "", async (page) => {
  await choose(page, "notes.gguf", Buffer.from("just some notes"));
  await page.click("#start");
  await told(page, "notes.gguf is no GGUF file");
  await choose(page, "model.safetensors", readFileSync(join(tiny, "model.safetensors")));
  await page.click("#start");
  await told(page, "config.json, tokenizer.json missing");
  await choose(page, "cut.gguf", header.subarray(0, 4096));
  await page.click("#start");
  await told(page, "cut.gguf: ");
});

await check("addresses: missing, no model, unreachable, with ranges, without, broken off", "", async (page) => {
  const look = async (address, words) => {
    await page.fill("#model-url", address);
    await page.click("text=Look at it");
    await page.waitForFunction((words) => document.querySelector("#models").textContent.includes(words), words);
  };
  await look(`${server.url}models/missing.gguf`, "answers 404");
  await look(`${server.url}models/sign-in.gguf`, "is no GGUF file");
  await look("http://127.0.0.1:9/x.gguf", "could not be reached");
  await look("no address", "is no address");
  await look(`${server.url}models/whole.gguf`, "gives no parts");
  await look(`${server.url}models/cut/`, "comes in parts");
  await page.click("text=Use it");
  await page.fill("#own-prompts", "What is 1 + 1?\nWhat is 2 + 2?");
  await page.dispatchEvent("#own-prompts", "change");
  await page.click("#start");
  await page.waitForFunction(() => /^\d\d\s% of the model fetched/.test(document.querySelector("#pace").textContent));
  cut.destroy();
  await told(page, "The connection broke off");
  asked = [];
  await page.click("#messages >> text=Try again");
  await page.waitForFunction(() => /completions/.test(document.querySelector("#pace").textContent));
  assert.deepEqual(asked.filter((range) => range?.startsWith("bytes=0-") && range !== "bytes=0-15"), [], "nothing is fetched twice");
  await page.click("#pause");
  await state(page, "paused");
  await page.reload();
  await page.waitForSelector("#models >> text=on this disk");
  await page.click("#models >> text=Delete");
  await page.waitForFunction(() => !document.querySelector("#models").textContent.includes("on this disk"));
});

server.close();
console.log("ok");
