"""One table of cases for every door to the maths (Rust, C, JavaScript, …): mpmath in 50 digits, and scipy.

    python3 make_doors.py > doors.txt        # needs mpmath, numpy, scipy

A line is a function, its arguments, "=", and what it gives: numbers, "undefined" where the quantity is, or "error" where
the input is refused. A list is its length and then its numbers.
"""
import random

import mpmath as mp
import numpy as np
import scipy.stats as st

mp.mp.dps = 50
R = random.Random(12)


def show(x):
    if isinstance(x, (str, int)):
        return str(x)
    return repr(float(x))


def line(name, arguments, result):
    flat = []
    for argument in arguments:
        if isinstance(argument, list):
            flat += [len(argument), *argument]
        else:
            flat.append(argument)
    result = result if isinstance(result, (list, tuple)) else [result]
    print(name, *map(show, flat), "=", *map(show, result))


# ranks, and how far two rankings agree

def sign(x):
    return (x > 0) - (x < 0)


def tau_a(a, b):
    n = len(a)
    return sum(sign(a[i] - a[j]) * sign(b[i] - b[j]) for i in range(n) for j in range(i)) / (n * (n - 1) / 2)


def extremes(a):
    return {i for i, x in enumerate(a) if x == max(a)}, {i for i, x in enumerate(a) if x == min(a)}


def agreement(measure, a, b):
    base, ordinal = measure.removesuffix("-ordinal"), measure.endswith("-ordinal")
    if ordinal:
        a, b = (st.rankdata(x, method="ordinal").tolist() for x in (a, b))
    constant = len(set(a)) == 1 or len(set(b)) == 1
    if base == "kendall":
        return tau_a(a, b)
    if constant:
        return "undefined"
    if base == "kendall-b":
        return st.kendalltau(a, b).statistic
    if base == "spearman":
        return st.spearmanr(a, b).statistic
    return 1.0 if extremes(a) == extremes(b) else -1.0


MEASURES = ["kendall", "kendall-b", "kendall-ordinal", "spearman", "spearman-ordinal", "top-order", "top-order-ordinal"]
lists = [([1.0, 2.0], [2.0, 1.0]), ([0.5, 0.5], [1.0, 2.0]), ([3.0] * 5, [3.0] * 5), ([-0.0, 0.0, 1.0], [0.0, 0.0, 2.0])]
for n in [2, 3, 5, 5, 5, 8, 64, 65, 130]:
    lists.append(([R.gauss(0, 3) for _ in range(n)], [R.gauss(0, 3) for _ in range(n)]))
    lists.append(([float(R.randint(0, 3)) for _ in range(n)], [float(R.randint(0, 3)) for _ in range(n)]))
for a, b in lists:
    for measure in MEASURES:
        line("agreement", [measure, a, b], agreement(measure, a, b))
    for ties in ["average", "ordinal"]:
        line("ranks", [ties, a], st.rankdata(a, method=ties).tolist())
for a, b in [([1.0], [1.0]), ([], []), ([1.0, float("nan")], [1.0, 2.0]), ([1.0, 2.0], [1.0, float("inf")])]:
    line("agreement", ["kendall", a, b], "error")
line("ranks", ["average", [1.0, float("nan")]], "error")

# consistency

for tau in [-1.0, -0.6, -0.2, 0.0, 0.2, 0.4, 1.0]:
    c = (mp.mpf(tau) + 1) / 2
    line("consistency", ["linear", 0.0, tau], c)
    line("consistency", ["clamped", 0.0, tau], max(c, mp.mpf(1) / 2))
    line("consistency", ["threshold", 0.45, tau], c if c >= 0.45 else "undefined")
for kind, threshold, tau in [("linear", 0.0, 1.5), ("linear", 0.0, float("nan")), ("threshold", 1.5, 0.0), ("threshold", -0.1, 0.0)]:
    line("consistency", [kind, threshold, tau], "error")
for n in [1, 2, 7]:
    values = [R.random() for _ in range(n)]
    line("mean-consistency", [values], mp.fsum(map(mp.mpf, values)) / n)
for values in [[], [0.5, 1.1], [float("nan")]]:
    line("mean-consistency", [values], "error")

# log-probs and rewards

for n in [1, 3, 40, 200]:
    values = [float(np.float32(-R.expovariate(1.0))) for _ in range(n)]
    line("completion-logps", [values], mp.fsum(map(mp.mpf, values)))
for values in [[], [float("nan")], [-1.0, float("-inf")]]:
    line("completion-logps", [values], "error")
for _ in range(5):
    beta, policy, reference, tokens = R.uniform(0.01, 2), -R.expovariate(0.05), -R.expovariate(0.05), R.randint(1, 60)
    line("mean-logps", [policy, tokens], mp.mpf(policy) / tokens)
    line("implicit-reward", [beta, policy, reference], mp.mpf(beta) * (mp.mpf(policy) - mp.mpf(reference)))
line("mean-logps", [-1.0, 0], "error")
for beta, policy, reference in [(0.0, -1.0, -1.0), (-0.1, -1.0, -1.0), (float("nan"), -1.0, -1.0), (0.1, float("nan"), -1.0), (0.1, -1.0, float("-inf"))]:
    line("implicit-reward", [beta, policy, reference], "error")

# the pair

for n in [2, 3, 5, 9]:
    for rewards in [[R.gauss(0, 1) for _ in range(n)], [float(R.randint(0, 2)) for _ in range(n)], [1.25] * n]:
        best, worst = rewards.index(max(rewards)), rewards.index(min(rewards))
        margin = rewards[best] - rewards[worst]
        for minimum in [0.0, 0.5]:
            line("choose-pair", [minimum, rewards], [best, worst, margin] if margin > 0 and margin >= minimum else "undefined")
for minimum, rewards in [(0.0, [1.0]), (0.0, []), (0.0, [1.0, float("nan")]), (-1.0, [1.0, 2.0]), (float("nan"), [1.0, 2.0])]:
    line("choose-pair", [minimum, rewards], "error")

# the loss of a pair and its gradient, a supervised term among it


def log_sigmoid(z):
    return -mp.log1p(mp.exp(-z))


def loss_of(kind, beta, c, weight, tokens, logps):
    chosen, rejected, reference_chosen, reference_rejected = logps
    h = (chosen - reference_chosen) - (rejected - reference_rejected)
    z = beta * h
    c = {"cream": c, "dpo": mp.mpf(1), "ipo": None}[kind]
    loss = (h - 1 / (2 * beta)) ** 2 if c is None else -(c * log_sigmoid(z) + (1 - c) * log_sigmoid(-z))
    return loss - weight * chosen / tokens


def loss(kind, beta, c, logps, weight, tokens):
    exact = [mp.mpf(x) for x in logps]
    beta_, c_, weight_ = mp.mpf(beta), mp.mpf(c), mp.mpf(weight)
    value = lambda *x: loss_of(kind, beta_, c_, weight_, tokens, x)
    gradient = [mp.diff(value, tuple(exact), tuple(int(i == j) for j in range(4))) for i in range(4)]
    rewards = [beta_ * (exact[0] - exact[2]), beta_ * (exact[1] - exact[3])]
    line("pair-loss", [kind, beta, c, *logps, weight, tokens], [value(*exact), rewards[0] - rewards[1], *rewards, *gradient])


for kind in ["cream", "dpo", "ipo"]:
    for c in [0.0, 0.5, 1.0, R.random(), R.random()]:
        for _ in range(3):
            chosen, rejected = -R.expovariate(0.03), -R.expovariate(0.03)
            logps = [chosen, rejected, chosen + R.gauss(0, 5), rejected + R.gauss(0, 5)]
            loss(kind, R.choice([0.05, 0.1, 0.5, 1.0]), c, logps, R.choice([0.0, 0.0, 0.2]), R.randint(1, 50))
    loss(kind, 1.0, 0.7, [0.0, -300.0, -200.0, -10.0], 0.0, 1)
    loss(kind, 1.0, 0.7, [-300.0, 0.0, -10.0, -200.0], 0.0, 1)
    loss(kind, 0.1, 0.5, [-3.0, -3.0, -3.0, -3.0], 0.0, 1)
GOOD = ["cream", 0.1, 0.5, -3.0, -4.0, -3.5, -3.0, 0.0, 1]
for at, bad in [(1, 0.0), (1, -1.0), (1, float("inf")), (2, -0.1), (2, 1.1), (2, float("nan")), (3, float("nan")), (4, float("-inf")), (5, float("nan")), (6, float("inf")), (7, -0.5), (7, float("nan")), (8, 0)]:
    line("pair-loss", [bad if i == at else good for i, good in enumerate(GOOD)], "error")
