// cream-web/core under node, against scipy's and torch's numbers. `cargo xtask web` makes web/pkg first.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { before, test } from "node:test";
import { gzipSync } from "node:zlib";

import init, * as core from "../../web/pkg/core/node.js";

const golden = (name) => JSON.parse(readFileSync(new URL(`../golden/${name}`, import.meta.url), "utf8"));
const floats = (numbers) => Float64Array.from(numbers);
/** Of numbers that both sides compute in f64. */
const F64 = 1e-12;
/** Of sums that torch makes of f64 log-probs, and we of the same as f32. */
const F32 = 1e-6;
const close = (got, expected, tolerance, what) =>
  assert.ok(Math.abs(got - expected) <= tolerance, `${what}: ${got}, expected ${expected}`);

before(() => init());

test("the wasm file is under 60 kB", () => {
  const wasm = readFileSync(new URL("../../web/pkg/core/core_bg.wasm", import.meta.url));
  console.log(`core: ${wasm.length} bytes, ${gzipSync(wasm, { level: 9 }).length} compressed`);
  assert.ok(wasm.length < 60_000, `${wasm.length} bytes`);
});

test("rankings and their agreement are scipy's", () => {
  const { rows } = golden("consistency.json");
  assert.equal(rows.length, 14);
  for (const row of rows) {
    const [current, previous] = [floats(row.current), floats(row.previous)];
    for (const [measure, key] of [
      [undefined, "tau_a"],
      ["kendall", "tau_a"],
      ["kendall-b", "tau_b"],
      ["kendall-ordinal", "tau_ordinal"],
      ["spearman", "spearman"],
    ]) {
      const [got, mapped] = [core.agreement(current, previous, measure), core.consistency(current, previous, measure)];
      if (row[key] === null) {
        assert.deepEqual([got, mapped], [undefined, undefined], key);
      } else {
        close(got, row[key], F64, key);
        close(mapped, (row[key] + 1) / 2, F64, `consistency by ${key}`);
      }
    }
    assert.deepEqual(core.ranks(current), floats(row.average_ranks_current));
    assert.deepEqual(core.ranks(current, "ordinal"), floats(row.ordinal_ranks_current));
  }
});

test("consistency goes through the map that is asked for", () => {
  const [current, previous] = [floats([1, 2, 3]), floats([3, 2, 1])];
  assert.equal(core.consistency(current, previous), 0);
  assert.equal(core.consistency(current, previous, "top-order"), 0);
  assert.equal(core.consistency(current, previous, "kendall", "clamped"), 0.5);
  assert.equal(core.consistency(current, previous, "kendall", "threshold:0.5"), undefined);
  assert.equal(core.meanConsistency(floats([0.25, 0.75])), 0.5);
});

test("losses and gradients are torch's, of one pair and of many", () => {
  for (const name of ["tied/golden.json", "untied/golden.json"]) {
    const { beta, sequences, pairs, dpo } = golden(name);
    const sum = (sequence, key) => core.completionLogps(Float32Array.from(sequences[sequence][key]));
    const all = pairs.map((_, i) => ({
      chosen: sum(2 * i, "token_logps"),
      rejected: sum(2 * i + 1, "token_logps"),
      reference_chosen: sum(2 * i, "reference_token_logps"),
      reference_rejected: sum(2 * i + 1, "reference_token_logps"),
    }));
    const columns = Object.fromEntries(Object.keys(all[0]).map((key) => [key, floats(all.map((pair) => pair[key]))]));
    const many = core.pairLosses("cream", beta, floats(pairs.map((pair) => pair.consistency)), columns);
    all.forEach((logps, i) => {
      const one = core.pairLoss("cream", beta, pairs[i].consistency, logps);
      for (const [key, value] of Object.entries(one)) {
        assert.equal(many[key][i], value, key);
      }
      assert.equal(Object.keys(many).length, Object.keys(one).length);
      for (const [got, key] of [
        [one.loss, "loss"],
        [one.margin, "margins"],
        [one.reward_chosen, "rewards_chosen"],
        [one.reward_rejected, "rewards_rejected"],
        [one.d_chosen / beta, "dloss_dmargin"],
        [core.implicitReward(beta, logps.chosen, logps.reference_chosen), "rewards_chosen"],
      ]) {
        close(got, dpo[key][i], F32, key);
      }
      assert.equal(one.d_reference_rejected, one.d_chosen);
    });
    const rewards = core.implicitRewards(beta, columns.chosen, columns.reference_chosen);
    assert.deepEqual(rewards, many.reward_chosen);
  }
});

test("a supervised term is added to the loss and its gradient", () => {
  const logps = { chosen: -8, rejected: -9, reference_chosen: -8, reference_rejected: -9 };
  const [plain, added] = [undefined, { weight: 0.5, tokens: 4 }].map((sft) => core.pairLoss("dpo", 0.1, 1, logps, sft));
  close(plain.loss, Math.LN2, F64, "loss at a margin of 0");
  close(added.loss - plain.loss, 1, F64, "0.5 * 8 / 4");
  close(added.d_chosen - plain.d_chosen, -0.125, F64, "gradient");
  const columns = Object.fromEntries(Object.entries(logps).map(([key, value]) => [key, floats([value])]));
  const many = core.pairLosses("dpo", 0.1, floats([1]), columns, { weight: 0.5, tokens: floats([4]) });
  assert.equal(many.loss[0], added.loss);
});

test("pairs are the best and the worst, the first of equals", () => {
  assert.deepEqual({ ...core.choosePair(floats([1, 3, 0, 3, 0])) }, { chosen: 1, rejected: 2, margin: 3 });
  assert.equal(core.choosePair(floats([1, 1])), undefined);
  assert.equal(core.choosePair(floats([1, 2]), 1.5), undefined);
  assert.deepEqual({ ...core.chooseAnchoredPair(floats([1, 2]), floats([0])) }, { chosen: 1, rejected: 0, margin: 2 });
});

test("rewards by length", () => {
  assert.equal(core.lengthNormalisedReward(-6, 4), -1.5);
  assert.equal(core.lengthPenalisedReward(1, 0.25, 2), 0.5);
  assert.equal(core.meanLogps(-6, 4), -1.5);
});

test("what the core refuses is an Error in its words", () => {
  const two = floats([1, 2]);
  const logps = { chosen: -8, rejected: -9, reference_chosen: -8, reference_rejected: -9 };
  for (const [call, message] of [
    [() => core.agreement(two, floats([1])), "lengths differ: 2 and 1"],
    [() => core.agreement(floats([1]), floats([1])), "1 completions, at least 2 needed"],
    [() => core.ranks(floats([0, NaN])), "value 1 is NaN, not a finite number"],
    [() => core.ranks(two, "dense"), "ties: expected average or ordinal"],
    [() => core.agreement(two, two, "pearson"), /^measure: expected kendall, /],
    [() => core.consistency(two, two, "kendall", "square"), /^map is square, expected linear, /],
    [() => core.implicitReward(0, -1, -2), "beta is 0, expected a positive finite number"],
    [() => core.implicitRewards(1, two, floats([1, Infinity])), /^completion 1: reference log-prob is inf, /],
    [() => core.pairLoss("cream", 0.1, 1.5, logps), "consistency is 1.5, expected 0 to 1"],
    [() => core.pairLoss("cream", 0.1, 1, { ...logps, chosen: undefined }), /^chosen log-prob is NaN, /],
    [() => core.pairLoss("hinge", 0.1, 1, logps), "loss: expected cream, dpo or ipo"],
    [() => core.lengthNormalisedReward(1, -1), "tokens is -1, expected a whole number"],
    [() => core.lengthNormalisedReward(1, 0), "0 tokens, at least 1 needed"],
    [() => core.pairLosses("cream", 0.1, two, { chosen: two, rejected: two, reference_chosen: two }), /undefined/],
  ]) {
    assert.throws(call, (error) => error instanceof Error && (message.test?.(error.message) ?? error.message === message));
  }
  // It is as good as new afterwards.
  assert.equal(core.agreement(two, two), 1);
});

/** A ranking of five whose Kendall's tau with 0 1 2 3 4 is this, a multiple of 1/5. */
function ofAgreement(tau) {
  const left = [0, 1, 2, 3, 4];
  let discordant = Math.round(5 * (1 - tau));
  return Float64Array.from(left.slice(), () => {
    const at = Math.min(discordant, left.length - 1);
    discordant -= at;
    return left.splice(at, 1)[0];
  });
}

test("every case of the doors", () => {
  const lines = readFileSync(new URL("../golden/doors.txt", import.meta.url), "utf8").trim().split("\n");
  assert.equal(lines.length, 353);
  for (const [at, line] of lines.entries()) {
    const [name, ...words] = line.split(" ");
    const word = () => words.shift();
    const number = () => Number(word().replace("inf", "Infinity"));
    const list = () => Float64Array.from({ length: number() }, number);
    const calls = {
      agreement: () => { const measure = word(); return core.agreement(list(), list(), measure); },
      ranks: () => { const ties = word(); return core.ranks(list(), ties); },
      consistency: () => {
        const [map, threshold, agreement] = [word(), number(), number()];
        return core.consistency(floats([0, 1, 2, 3, 4]), ofAgreement(agreement), "kendall", map === "threshold" ? `threshold:${threshold}` : map);
      },
      "mean-consistency": () => core.meanConsistency(list()),
      "completion-logps": () => core.completionLogps(Float32Array.from(list())),
      "mean-logps": () => core.meanLogps(number(), number()),
      "implicit-reward": () => core.implicitReward(number(), number(), number()),
      "choose-pair": () => { const minimum = number(); const pair = core.choosePair(list(), minimum); return pair && [pair.chosen, pair.rejected, pair.margin]; },
      "pair-loss": () => {
        const [loss, beta, consistency] = [word(), number(), number()];
        const logps = { chosen: number(), rejected: number(), reference_chosen: number(), reference_rejected: number() };
        const pair = core.pairLoss(loss, beta, consistency, logps, { weight: number(), tokens: number() });
        return ["loss", "margin", "reward_chosen", "reward_rejected", "d_chosen", "d_rejected", "d_reference_chosen", "d_reference_rejected"].map((key) => pair[key]);
      },
    };
    const what = `line ${at + 1}, ${name}`;
    // Here an agreement is that of two rankings.
    if (name === "consistency" && !(Math.abs(Number(words[2])) <= 1)) continue;
    if (words.at(-1) === "error") {
      assert.throws(calls[name], Error, what);
      continue;
    }
    const got = calls[name]();
    assert.equal(word(), "=", what);
    if (words[0] === "undefined") assert.equal(got, undefined, what);
    else {
      const expected = words.map(Number);
      const numbers = typeof got === "number" ? [got] : [...got];
      assert.equal(numbers.length, expected.length, what);
      numbers.forEach((value, i) => close(value, expected[i], F64 * Math.max(1, Math.abs(expected[i])), what));
    }
  }
});
