"use strict";

// Fills the page from the JSON in it. Words of the run reach the page by way of textContent only, never as HTML.

const report = JSON.parse(document.getElementById("report").textContent);
const settings = Object.fromEntries(report.settings);
const rounds = report.iterations.filter((step) => step.round || step.iteration > 0);
const ranked = report.iterations.filter((step) => step.round);
/** What is drawn now; drawn anew when the theme changes. */
const charts = [];

const at = (id) => document.getElementById(id);
const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const seriesColor = (iteration) => color(`--s${(iteration + 5) % 6}`);

/** An element with attributes and children; a child that is no element is text. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children.map((child) => (child instanceof Node ? child : String(child))));
  return element;
}

/** With a minus sign, and none before zero. */
const signed = (text) => (Number(text) === 0 ? text.replace("-", "") : text.replace("-", "−"));
const number = (value, digits = 3) => (value == null ? "–" : signed(value.toFixed(digits)));
/** As many digits as neighbouring ticks need to differ. */
const ticksOf = (_, ticks) => ticks.map((tick) => signed(String(Number(tick.toPrecision(6)))));
/** Small numbers by their leading digits. */
const short = (value) => (value == null ? "–" : String(Number(value.toPrecision(3))).replace("-", "−"));
const plural = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
const sum = (values) => values.reduce((total, value) => total + value, 0);
const mean = (values) => (values.length ? sum(values) / values.length : null);

function duration(seconds) {
  if (seconds < 0.95) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.floor(seconds % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

function memory(bytes) {
  if (bytes == null) return "–";
  return bytes < 2 ** 30 ? `${Math.round(bytes / 2 ** 20)} MiB` : `${(bytes / 2 ** 30).toFixed(2)} GiB`;
}

/** Rows of a table; columns are [heading, cell, class]. */
function fill(table, columns, rows) {
  const head = columns.map(([name, , kind]) => make("th", { class: kind ?? "", scope: "col" }, name));
  const body = rows.map((row) =>
    make("tr", {}, ...columns.map(([, cell, kind]) => make("td", { class: kind ?? "" }, cell(row)))));
  table.replaceChildren(make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...body));
}

function pairs(list, entries) {
  const row = ([key, value]) => make("div", {}, make("dt", {}, key), make("dd", {}, value));
  list.replaceChildren(...entries.map(row));
}

// ---- Words and tables

const measure = String(settings["pair.consistency"] ?? "kendall");
const symbol = measure.startsWith("kendall") ? "τ" : measure.startsWith("spearman") ? "ρ" : "agreement";
const modelMadeBy = (iteration) => `M${iteration + 1}`;
const supervised = report.iterations.some((step) => step.iteration === 0);
/** The model of which a round ranks; without supervised fine-tuning the first one's is the initial model. */
const modelOf = (iteration) => (iteration === 1 && !supervised ? "M0" : `M${iteration}`);
const seconds = (step) =>
  sum(report.timings.stages.filter((stage) => stage.output.split("/")[0] === `iteration-${step.iteration}`)
    .map((stage) => stage.seconds));
const preference = (step, key) => step.metrics.map((row) => row[key]).filter((value) => value != null);
const last = (values) => values[values.length - 1];

function words() {
  const model = report.timings.model || "initial model";
  const name = (model.split(/[\\/]/).filter(Boolean).pop() ?? model).replace(/\.gguf$/, "");
  const begun = supervised ? "supervised fine-tuning and " : "";
  at("title").textContent = `${name}: ${begun}${plural(rounds.length, "round")} on its own preferences`;
  document.title = `${name} · CREAM run`;
  const total = sum(report.timings.stages.map((stage) => stage.seconds));
  const devices = [...new Set(report.timings.stages.map((stage) => stage.device))];
  const asked = ranked.length ? `${plural(ranked[0].round.prompts, "prompt")} × ${settings["sample.completions"]} completions a round` : "";
  const facts = [asked, `seed ${settings.seed}`, ...devices, total ? `${duration(total)} in all` : ""];
  at("subtitle").textContent = facts.filter(Boolean).join(" · ");

  const done = rounds.filter((step) => step.summary?.pairs);
  const compared = done.filter((step) => step.summary.pairs.mean_tau != null);
  const unfinished = report.iterations.length === 0 || last(report.iterations).iteration < settings.iterations || !last(report.iterations).summary;
  const says = [];
  if (unfinished) says.push("The run is under way.");
  if (compared.length) {
    const { iteration, summary: { pairs: { mean_tau: tau, mean_consistency: consistency } } } = last(compared);
    const weight = consistency == null ? "" : `: consistency C = ${number(consistency, 2)}`;
    says.push(`In round ${iteration} the model ranks its completions as its former self does with ${symbol} = ${number(tau, 2)} on average over its pairs`,
      `(1 is the same order, 0 unrelated, −1 the opposite)${weight}.`);
  }
  at("sentence").textContent = says.join(" ");

  /** A number over the rounds that have it, if any has. */
  const change = (what, key) => {
    const having = done.filter(({ summary }) => summary.pairs[key] != null);
    if (!having.length) return [];
    const ends = [...new Set([having[0], last(having)])];
    const told = (tell) => ends.map(tell).join(" → ");
    return [[what, told(({ summary }) => number(summary.pairs[key], 2)), told(({ iteration }) => `round ${iteration}`)]];
  };
  const final = last(done);
  const peak = Math.max(...report.timings.stages.map((stage) => stage.peak_bytes ?? 0));
  const tiles = [...change("Consistency C", "mean_consistency"), ...change(`Agreement ${symbol}`, "mean_tau")];
  if (final) {
    const round = `round ${final.iteration}, first → last step`;
    tiles.push(["Loss", `${number(final.summary.training.first_loss, 4)} → ${number(final.summary.training.last_loss, 4)}`, round]);
    tiles.push(["Margin", `${number(final.summary.training.first_margin, 4)} → ${number(final.summary.training.last_margin, 4)}`, round]);
  }
  if (total) tiles.push(["Time", duration(total), peak ? `peak memory ${memory(peak)}` : ""]);
  at("tiles").replaceChildren(...tiles.map(([what, value, note]) =>
    make("div", { class: "tile" }, make("span", {}, what), make("b", {}, value), make("span", {}, note))));

  const notes = report.iterations.flatMap((step) => {
    const found = step.summary?.pairs;
    const skipped = found?.skipped.length ? [`${found.skipped.length} of ${found.prompts} prompts gave no pair; the first: ${found.skipped[0].reason}`] : [];
    return [...(found?.notes ?? []), ...skipped].map((note) => `Round ${step.iteration}: ${note}.`);
  });
  at("notes").replaceChildren(...notes.map((note) => make("li", {}, note)));
}

function tables() {
  const pairsOf = (step) => step.summary?.pairs;
  const training = (what) => (step) => {
    const { [`first_${what}`]: first, [`last_${what}`]: latest } = step.summary?.training ?? {};
    return first == null ? "–" : `${number(first, 4)} → ${number(latest, 4)}`;
  };
  fill(at("rounds"), [
    ["iteration", (step) => (step.iteration === 0 ? "0 (supervised)" : step.iteration), "text"],
    ["makes", (step) => modelMadeBy(step.iteration), "text"],
    ["pairs / prompts", (step) => (pairsOf(step) ? `${pairsOf(step).pairs} / ${pairsOf(step).prompts}` : "–")],
    [symbol, (step) => number(pairsOf(step)?.mean_tau)],
    ["C", (step) => number(pairsOf(step)?.mean_consistency)],
    ["loss", training("loss")],
    ["margin", training("margin")],
    ["accuracy", (step) => number(mean(preference(step, "rewards/accuracies")))],
    ["tokens", (step) => number(step.round?.mean_tokens, 1)],
    ["steps", (step) => step.metrics.length],
    ["time", (step) => (seconds(step) ? duration(seconds(step)) : "–")],
  ], report.iterations);

  const initial = { iteration: -1 };
  fill(at("models"), [
    ["model", (step) => modelMadeBy(step.iteration), "text"],
    ["where", (step) => (step === initial ? report.timings.model || "–" : `iteration-${step.iteration}`), "text"],
    ["from", (step) => (step === initial ? "given" : modelOf(step.iteration)), "text"],
    ["by", (step) => (step === initial ? "–" : step.iteration === 0 ? "supervised fine-tuning" : "preference pairs"), "text"],
    ["trained", (step) => (step === initial ? "–" : settings.tuning === "full" ? "all weights" : `adapter, rank ${settings["lora.r"]}`), "text"],
    ["steps", (step) => (step === initial ? "–" : step.metrics.length)],
    ["seed", (step) => step.seed ?? "–"],
  ], [initial, ...report.iterations]);

  fill(at("stages"), [
    ["stage", (stage) => stage.stage, "text"],
    ["makes", (stage) => stage.output, "text"],
    ["device", (stage) => stage.device, "text"],
    ["time", (stage) => duration(stage.seconds)],
    ["tokens", (stage) => stage.tokens.toLocaleString("en")],
    ["tokens / s", (stage) => (stage.seconds > 0 ? Math.round(stage.tokens / stage.seconds).toLocaleString("en") : "–")],
    ["peak memory", (stage) => memory(stage.peak_bytes)],
  ], report.timings.stages);

  const shown = (value) => (Array.isArray(value) ? value.join(", ") : String(value));
  pairs(at("settings"), report.settings.map(([key, value]) => [key, shown(value)]));
  pairs(at("inputs"), Object.entries(report.inputs).map(([what, print]) => [what, print.slice(0, 16)]));

  if (Array.isArray(report.compare)) {
    at("compare").hidden = false;
    const keys = [...new Set(["method", "model", ...report.compare.flatMap(Object.keys)])];
    const cell = (value) => (typeof value === "number" ? short(value) : value ?? "–");
    fill(at("compared"), keys.map((key) => [key, (row) => cell(row[key]), typeof report.compare[0]?.[key] === "string" ? "text" : ""]), report.compare);
  }
}

// ---- Charts

/** Draws into `place`, as wide as it is. */
function draw(place, options, data) {
  const axis = (given) => ({
    stroke: color("--soft"), font: "12px system-ui, sans-serif", labelFont: "12px system-ui, sans-serif", labelSize: 18, size: 32,
    grid: { stroke: color("--grid"), width: 1 }, ticks: { stroke: color("--line"), width: 1 }, ...given,
  });
  const chart = new uPlot({
    width: place.clientWidth, height: 260, ...options, axes: options.axes.map(axis),
    cursor: { drag: { x: false, y: false }, ...options.cursor },
  }, data, place);
  place.setAttribute("role", "img");
  charts.push({ chart, place });
}

function figure(parent, title, note) {
  const place = make("div", { "aria-label": title });
  parent.append(make("figure", { class: "card" }, make("figcaption", {}, make("b", {}, title), note ? ` ${note}` : ""), place));
  return place;
}

const whole = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000];

/** One key over the steps of some iterations, one after the other, a line each. */
function curve(parent, key, note, unit, steps, range) {
  const drawn = steps.filter((step) => step.metrics.some((row) => row[key] != null));
  if (!drawn.length) return;
  const total = sum(drawn.map((step) => step.metrics.length));
  const x = Array.from({ length: total }, (_, i) => i + 1);
  let start = 0;
  const lines = drawn.map((step) => {
    const line = new Array(total).fill(null);
    step.metrics.forEach((row, i) => { line[start + i] = row[key] ?? null; });
    start += step.metrics.length;
    return line;
  });
  const series = drawn.map((step) => ({
    label: step.iteration === 0 ? "supervised" : `round ${step.iteration}`,
    stroke: seriesColor(step.iteration), width: 2,
    points: { show: step.metrics.length <= 40, size: 6, fill: seriesColor(step.iteration) },
    value: (_, value) => short(value),
  }));
  const pad = Math.max(0.5, total * 0.02);
  draw(figure(parent, key, note), {
    scales: { x: { time: false, range: [Math.max(0.5, 1 - pad), total + pad] }, y: range ? { range } : {} },
    axes: [{ label: steps.length > 1 ? "step, rounds one after the other" : "step", incrs: whole }, { label: unit, size: 64, values: ticksOf }],
    series: [{ label: "step", value: (_, value) => value ?? "–" }, ...series],
  }, [x, ...lines]);
}

function curves() {
  const parent = at("curve-charts");
  parent.replaceChildren();
  const share = [-0.03, 1.03];
  const trained = report.iterations.filter((step) => step.iteration > 0);
  curve(parent, "loss", "on pairs", settings.loss === "ipo" ? "nats²" : "nats", trained);
  curve(parent, "rewards/margins", "chosen less rejected", "β × nats", trained);
  curve(parent, "rewards/accuracies", "pairs with a positive margin", "share of pairs", trained, share);
  curve(parent, "consistency", "C, the weight of a pair as it is labelled", "C", trained, share);
  curve(parent, "loss", "of supervised fine-tuning", "nats per token", report.iterations.filter((step) => step.iteration === 0));
  at("curves").hidden = !parent.children.length;
}

function histograms() {
  const parent = at("histograms");
  parent.replaceChildren();
  const counted = ranked.filter((step) => sum(step.round.histogram) > 0);
  for (const step of counted) {
    const { histogram } = step.round;
    const middle = (i) => -1 + (2 * i) / (histogram.length - 1);
    const average = step.summary?.pairs?.mean_tau;
    const overPairs = average == null ? "" : `, mean ${symbol} ${number(average, 2)} over the pairs`;
    const note = plural(sum(histogram), "prompt") + overPairs;
    draw(figure(parent, `Round ${step.iteration}`, note), {
      height: 220, legend: { show: false },
      scales: { x: { time: false, range: [-1.15, 1.15] }, y: { range: (_, __, max) => [0, Math.max(1, max * 1.08)] } },
      axes: [{ label: `agreement ${symbol}`, incrs: [0.2, 0.5, 1], values: ticksOf },
        { label: "prompts", size: 52, incrs: whole }],
      series: [{}, {
        stroke: seriesColor(step.iteration), fill: seriesColor(step.iteration), width: 0,
        paths: uPlot.paths.bars({ size: [0.8, 60] }), points: { show: false },
      }],
    }, [histogram.map((_, i) => middle(i)), histogram]);
  }
  at("agreement").hidden = !counted.length;
}

/** Rank of each, 1 for the highest; equals share the mean of theirs, and what has no reward has no rank. */
function ranks(values) {
  return values.map((value) => {
    if (value == null) return null;
    const higher = values.filter((other) => other != null && other > value).length;
    const equal = values.filter((other) => other === value).length;
    return higher + (equal + 1) / 2;
  });
}

const letter = (i) => (i < 26 ? String.fromCharCode(65 + i) : String(i + 1));
const role = (prompt, text) => (text === prompt.chosen ? "chosen" : text === prompt.rejected ? "rejected" : "other");

/** Letters of the completions beside both ends of their lines. */
function letters(chart, ends) {
  const { ctx } = chart;
  const scale = devicePixelRatio;
  ctx.save();
  ctx.font = `600 ${13 * scale}px system-ui, sans-serif`;
  ctx.fillStyle = color("--text");
  ctx.textBaseline = "middle";
  ends.forEach((values, x) => {
    ctx.textAlign = x === 0 ? "right" : "left";
    for (const value of new Set(values.filter((rank) => rank != null))) {
      const here = values.flatMap((other, i) => (other === value ? [letter(i)] : [])).join(" ");
      ctx.fillText(here, chart.valToPos(x, "x", true) + (x === 0 ? -10 : 10) * scale, chart.valToPos(value, "y", true));
    }
  });
  ctx.restore();
}

function slope(step, prompt) {
  const place = at("slope");
  place.replaceChildren();
  const ends = [ranks(prompt.previous_rewards), ranks(prompt.rewards)];
  const count = prompt.rewards.length;
  const series = prompt.completions.map((text, i) => {
    const kind = role(prompt, text);
    return { label: letter(i), stroke: color(`--${kind}`), width: kind === "other" ? 2 : 4, points: { show: true, size: 9, fill: color(`--${kind}`) } };
  });
  const alone = prompt.previous_rewards.every((reward) => reward == null);
  const before = alone ? "no second ranking" : `previous (${modelOf(step.iteration - 1)})`;
  draw(place, {
    height: Math.max(240, 60 + 34 * count),
    legend: { show: false }, cursor: { show: false },
    scales: { x: { time: false, range: [-0.3, 1.3] }, y: { dir: -1, range: [0.5, count + 0.5] } },
    axes: [{ splits: () => [0, 1], values: () => [before, `current (${modelOf(step.iteration)})`], grid: { show: false } },
      { label: "rank by reward (1 is the highest)", splits: () => prompt.rewards.map((_, i) => i + 1), size: 40 }],
    series: [{}, ...series],
    hooks: { draw: [(chart) => letters(chart, ends)] },
  }, [[0, 1], ...prompt.rewards.map((_, i) => ends.map((end) => end[i]))]);
  place.setAttribute("aria-label", `Ranks of ${plural(count, "completion")}`);

  at("prompt-text").textContent = prompt.prompt;
  const rows = prompt.completions.map((text, i) => ({ text, i, kind: role(prompt, text) }))
    .sort((a, b) => (ends[1][a.i] ?? Infinity) - (ends[1][b.i] ?? Infinity));
  const reward = (rewards, i) => make("b", {}, short(rewards[i]));
  const earlier = (i) => (alone ? [] : [reward(prompt.previous_rewards, i), " → "]);
  at("completions").replaceChildren(...rows.map(({ text, i, kind }) =>
    make("div", { class: `side ${kind}` },
      make("p", {}, make("b", {}, letter(i)), kind === "other" ? "" : make("span", { class: `tag ${kind}` }, kind),
        make("span", {}, "reward ", ...earlier(i), reward(prompt.rewards, i))),
      make("pre", {}, text || "(empty)"))));
}

// ---- Choice of round and prompt

function side(kind, text) {
  return make("div", { class: `side ${kind}` }, make("span", { class: `tag ${kind}` }, kind), make("pre", {}, text || "(empty)"));
}

function card(prompt) {
  const head = make("p", {}, make("b", {}, `${symbol} ${number(prompt.agreement, 2)}`), ` · ${prompt.id}`);
  return make("div", { class: "pair" }, head, make("pre", {}, prompt.prompt),
    make("div", {}, side("chosen", prompt.chosen), side("rejected", prompt.rejected)));
}

const chosenRound = () => ranked[at("round").selectedIndex];

function showPrompt() {
  const step = chosenRound();
  forget(at("slope"));
  slope(step, step.round.shown[at("prompt").selectedIndex]);
}

function showRound() {
  const { round } = chosenRound();
  const start = (text) => text.replace(/\s+/g, " ").slice(0, 70);
  const agreement = (prompt) => (prompt.agreement == null ? "" : `${symbol} ${number(prompt.agreement, 2)} · `);
  at("prompt").replaceChildren(...round.shown.map((prompt) =>
    make("option", {}, `${agreement(prompt)}${prompt.id} · ${start(prompt.prompt)}`)));
  const compared = round.shown.some((prompt) => prompt.agreement != null);
  const [all, half] = [sum(round.histogram), report.most_prompts / 2];
  const which = !compared ? `${round.shown.length} of ${plural(round.prompts, "prompt")}, without a second ranking`
    : round.shown.length < all ? `the ${half} least and the ${half} most consistent of ${plural(all, "prompt")} that both models rank`
      : `all ${plural(all, "prompt")} that both models rank, of ${round.prompts.toLocaleString("en")}, least consistent first`;
  at("shown").textContent = `On this page: ${which}; texts up to ${report.longest_text} characters.`;
  at("extremes").hidden = !compared;
  const paired = round.shown.filter((prompt) => prompt.chosen != null);
  const few = Math.min(3, Math.ceil(paired.length / 2));
  at("least").replaceChildren(...paired.slice(0, few).map(card));
  at("most").replaceChildren(...paired.slice(few).slice(-few).reverse().map(card));
  showPrompt();
}

function forget(place) {
  for (let i = charts.length - 1; i >= 0; i--) {
    if (charts[i].place === place) charts.splice(i, 1)[0].chart.destroy();
  }
}

function drawAll() {
  charts.splice(0).forEach(({ chart }) => chart.destroy());
  curves();
  histograms();
  if (ranked.length) showPrompt();
}

// ---- Theme and width

const dark = matchMedia("(prefers-color-scheme: dark)");

function theme(name) {
  document.documentElement.dataset.theme = name;
  drawAll();
}

document.querySelectorAll(".symbol").forEach((element) => { element.textContent = symbol; });
document.querySelectorAll(".measure").forEach((element) => { element.textContent = symbol === "agreement" ? measure : `${symbol}, ${measure}`; });
words();
tables();
at("round").replaceChildren(...ranked.map((step) => make("option", {}, step.iteration)));
at("round").selectedIndex = ranked.length - 1;
at("prompts").hidden = !ranked.length;
document.documentElement.dataset.theme = dark.matches ? "dark" : "light";
if (ranked.length) showRound();
drawAll();
at("round").addEventListener("change", showRound);
at("prompt").addEventListener("change", showPrompt);
at("theme").addEventListener("click", () => theme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
dark.addEventListener("change", () => theme(dark.matches ? "dark" : "light"));
addEventListener("resize", () => {
  for (const { chart, place } of charts) chart.setSize({ width: place.clientWidth, height: chart.height });
});
