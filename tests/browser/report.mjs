// Opens a report in headless Chromium and looks at it. Usage: node report.mjs CHROMIUM PAGE CHARTS SCREENSHOTS
// Any doubt is an uncaught error, and with it a non-zero exit.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const [executablePath, file, expectedCharts, screenshots] = process.argv.slice(2);
const PHONE = 390;
/** Pixels of a line's or bar's own colour that say that it is there. */
const DRAWN = 6;

const profile = mkdtempSync(join(tmpdir(), "cream-browser-"));
const browser = await chromium.launchPersistentContext(profile, {
  executablePath,
  headless: true,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
  colorScheme: "light",
  viewport: { width: 1200, height: 900 },
});
try {
  const page = await browser.newPage();
  const complaints = [];
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("request", (request) => request.url() !== pathToFileURL(file).href && complaints.push(`asks for ${request.url()}`));
  await page.goto(pathToFileURL(file).href);

  await everyChartIsDrawn(page);
  const light = await strokes(page);
  await page.screenshot({ path: join(screenshots, "light.png"), fullPage: true });

  // By the system's setting, and by the button.
  await page.emulateMedia({ colorScheme: "dark" });
  await page.waitForFunction(() => document.documentElement.dataset.theme === "dark");
  await everyChartIsDrawn(page);
  const dark = await strokes(page);
  dark.forEach((stroke, i) => assert.notEqual(stroke, light[i], `chart ${i} has other colours in the dark`));
  await page.screenshot({ path: join(screenshots, "dark.png"), fullPage: true });
  await page.click("#theme");
  assert.deepEqual(await strokes(page), light);
  await everyChartIsDrawn(page);

  await choicesChangeWhatIsShown(page);
  await wordsAreOnlyWords(page);

  await page.setViewportSize({ width: PHONE, height: 800 });
  await page.waitForFunction((width) => charts.every(({ chart }) => chart.width < width), PHONE);
  await everyChartIsDrawn(page);
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), PHONE, "nothing sticks out on a phone");
  await page.screenshot({ path: join(screenshots, "phone.png"), fullPage: true });

  assert.deepEqual(complaints, []);
} finally {
  await browser.close();
  rmSync(profile, { recursive: true, force: true });
}

/** The colour of each chart's first line. */
async function strokes(page) {
  return page.evaluate(() => charts.map(({ chart }) => chart.series[1].stroke(chart, 1)));
}

/** Every line and bar leaves pixels of its colour inside its axes, and the axes leave some outside. */
async function everyChartIsDrawn(page) {
  const found = await page.evaluate(() => charts.map(({ chart, place }) => {
    const { bbox } = chart;
    // A copy, so that the chart's own canvas stays as it is.
    const ctx = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    [ctx.canvas.width, ctx.canvas.height] = [chart.ctx.canvas.width, chart.ctx.canvas.height];
    ctx.drawImage(chart.ctx.canvas, 0, 0);
    const pen = document.createElement("canvas").getContext("2d");
    const rgb = (color) => {
      pen.fillStyle = color;
      return [1, 3, 5].map((i) => parseInt(pen.fillStyle.slice(i, i + 2), 16));
    };
    const inside = ctx.getImageData(bbox.left, bbox.top, bbox.width, bbox.height).data;
    const like = ([r, g, b]) => {
      let count = 0;
      for (let i = 0; i < inside.length; i += 4) {
        const far = Math.abs(inside[i] - r) + Math.abs(inside[i + 1] - g) + Math.abs(inside[i + 2] - b);
        if (inside[i + 3] > 200 && far < 24) count++;
      }
      return count;
    };
    const below = ctx.getImageData(0, bbox.top + bbox.height + 4, ctx.canvas.width, ctx.canvas.height - bbox.top - bbox.height - 4);
    return {
      name: place.getAttribute("aria-label"),
      lines: chart.series.slice(1).map((series, i) => like(rgb(series.stroke(chart, i + 1)))),
      labels: below.data.filter((value, i) => i % 4 === 3 && value > 100).length,
    };
  }));
  assert.equal(found.length, Number(expectedCharts), JSON.stringify(found));
  for (const { name, lines, labels } of found) {
    assert.ok(lines.length > 0 && lines.every((pixels) => pixels >= DRAWN), `${name}: pixels of its lines: ${lines}`);
    assert.ok(labels > 50, `${name}: pixels of its labels: ${labels}`);
  }
}

async function choicesChangeWhatIsShown(page) {
  const text = () => page.textContent("#prompt-text");
  const [first, count] = [await text(), await page.evaluate(() => document.getElementById("prompt").options.length)];
  assert.ok(count > 1);
  await page.selectOption("#prompt", { index: count - 1 });
  assert.notEqual(await text(), first);
  const bars = await page.textContent("#least");
  await page.selectOption("#round", { index: 0 });
  assert.notEqual(await page.textContent("#least"), bars);
  await everyChartIsDrawn(page);
}

/** The test's run has markup in prompts and completions. */
async function wordsAreOnlyWords(page) {
  const { hacked, images, seen } = await page.evaluate(() => ({
    hacked: window.hacked,
    images: document.images.length,
    seen: document.body.innerText.includes("</script><script>window.hacked = 1</script><img src=x onerror=\"window.hacked = 2\"><!--"),
  }));
  assert.deepEqual({ hacked, images, seen }, { hacked: undefined, images: 0, seen: true });
}
