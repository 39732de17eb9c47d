// The page in Chromium as a visitor has it, on the CPU: a round from the tiny model to the exported adapter, which the program
// reads; a run that is paused and taken up after a reload ends as one that was not. Usage: node page.mjs SCREENSHOTS, after
// cargo xtask web; CREAM_PROGRAM is the program. Any doubt is an uncaught error.

import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

import { comparedWithProgram, downloaded, finished, NO_GPU, repository, rowsOf, serve, sessionOf, started, state, visit, within } from "./served.mjs";

const [screenshots] = process.argv.slice(2);
if (screenshots) mkdirSync(screenshots, { recursive: true });
const dist = join(repository, "web/dist");
/** Compressed, of all that a visitor of the tiny model loads. */
const MOST_BYTES = 6e6;
const RUN = "model=tiny&methods=cream&iterations=1&prompts=8&sample.completions=3";

const sizes = (folder) => readdirSync(folder, { withFileTypes: true }).reduce((sum, entry) => sum + (entry.isDirectory() ? sizes(join(folder, entry.name)) : gzipSync(readFileSync(join(folder, entry.name))).length), 0);
console.log(`${sizes(dist)} bytes, compressed`);
assert.ok(sizes(dist) < MOST_BYTES, `${sizes(dist)} bytes`);

const server = await serve(dist);
let whole;
await within(NO_GPU, async (browser) => {
  const start = performance.now();
  const page = await visit(browser, server, RUN);
  await page.waitForSelector("#start:enabled");
  console.log(`first use after ${(performance.now() - start).toFixed(0)} ms`);
  await page.evaluate(() => {
    globalThis.tasks = [];
    new PerformanceObserver((list) => globalThis.tasks.push(...list.getEntries().map((entry) => entry.duration))).observe({ type: "longtask" });
  });
  await page.click("#start");
  await finished(page);
  assert.match(await page.textContent("#device"), /CPU/);
  const tasks = await page.evaluate(() => globalThis.tasks);
  console.log(`tasks of over 50 ms beside the run, which other work on this machine makes longer: ${tasks.join(", ") || "none"}`);

  whole = await sessionOf(page);
  console.log(`log-probs of M1 here and by the program: ${await comparedWithProgram(page, whole)} nats apart at most`);
  assert.ok(rowsOf(await downloaded(page, "Pairs")).length > 0);

  // The visitor's own prompt.
  await page.fill("#ask-text", "What is 12 + 30?");
  await page.click("#ask");
  await page.waitForFunction(() => /M0[\s\S]*42[\s\S]*M2[\s\S]*42/.test(document.querySelector("#answers").textContent), null, { timeout: 60_000 });
  await page.click("#judge");
  await page.waitForFunction(() => document.querySelector("#prompt-text").textContent === "What is 12 + 30?" && document.querySelectorAll("#columns li").length === 6, null, { timeout: 60_000 });
  assert.deepEqual(page.complaints, []);
  if (screenshots) {
    for (const [width, colorScheme] of [[1280, "light"], [1280, "dark"], [375, "light"], [375, "dark"]]) {
      await page.setViewportSize({ width, height: 900 });
      await page.emulateMedia({ colorScheme });
      await page.waitForTimeout(400);
      await page.screenshot({ path: join(screenshots, `${width}-${colorScheme}.png`), fullPage: true });
      assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), width, "nothing sticks out");
    }
  }
});

await within(NO_GPU, async (browser) => {
  const page = await visit(browser, server, RUN);
  await started(page);
  await page.click("#pause");
  await state(page, "paused");
  await page.reload();
  await page.click("text=Take it up");
  await finished(page);
  const session = await sessionOf(page);
  const names = [...whole.keys()].filter((name) => name.startsWith("cream/"));
  assert.deepEqual([...session.keys()].filter((name) => name.startsWith("cream/")).sort(), names.sort());
  for (const name of names) assert.ok(session.get(name).equals(whole.get(name)), `${name} differs from the run that was not paused`);
  assert.deepEqual(page.complaints, []);
});

// What was ranked is there while it is learnt from.
await within(NO_GPU, async (browser) => {
  const page = await visit(browser, server, "model=tiny&methods=cream&iterations=1&prompts=300&questions=0");
  await started(page);
  await page.waitForFunction(() => document.querySelector("#stages [aria-current]")?.textContent === "Learn" && /prompt \d+ of 60/.test(document.querySelector("#prompt-count").textContent), null, { timeout: 240_000 });
  assert.deepEqual(page.complaints, []);
});

// A model that is dropped on the page; the screen stays on; a hidden tab pauses where that was asked for.
await within(NO_GPU, async (browser) => {
  await browser.addInitScript(() => {
    globalThis.locks = 0;
    navigator.wakeLock.request = async () => (globalThis.locks++, { release: async () => void globalThis.locks-- });
    Object.defineProperty(document, "hidden", { get: () => globalThis.away === true });
    globalThis.hide = (away) => ((globalThis.away = away), document.dispatchEvent(new Event("visibilitychange")));
  });
  const page = await visit(browser, server);
  const dropped = await page.evaluateHandle(async () => {
    const transfer = new DataTransfer();
    for (const name of ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"]) {
      transfer.items.add(new File([await (await fetch(`./tiny/${name}`)).blob()], name));
    }
    return transfer;
  });
  await page.dispatchEvent(".drop", "drop", { dataTransfer: dropped });
  await page.fill("#own-prompts", "What is 1 + 1?\nWhat is 2 + 2?");
  await page.dispatchEvent("#own-prompts", "change");
  await page.check("#pause-hidden");
  await started(page);
  assert.equal(await page.evaluate(() => globalThis.locks), 1);
  await page.evaluate(() => globalThis.hide(true));
  await state(page, "paused");
  assert.equal(await page.evaluate(() => globalThis.locks), 0);
  // Back before it has paused, and again.
  await page.evaluate(() => globalThis.hide(false));
  await state(page, "running");
  await page.evaluate(() => (globalThis.hide(true), globalThis.hide(false)));
  await finished(page);
  assert.deepEqual(page.complaints, []);
});

server.close();
console.log("ok");
