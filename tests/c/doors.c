/* Every case of tests/golden/doors.txt through cream.h: doors FILE. Prints each that differs; fails if any does. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cream.h"

#define MOST 512
/* Relative, absolute below 1: both sides compute in double. */
static const double TOLERANCE = 1e-12;

static char *words[4 * MOST];
static size_t next;

static const char *word(void) { return words[next++]; }
static double number(void) { return strtod(word(), NULL); }

static size_t list(double *values) {
  const size_t n = (size_t)number();
  for (size_t i = 0; i < n; i++) values[i] = number();
  return n;
}

/* The place of a word in a list that ends with NULL: the header's constants count in the table's order. */
static uint32_t constant(const char *const *names) {
  const char *name = word();
  for (uint32_t i = 0; names[i]; i++)
    if (!strcmp(name, names[i])) return i;
  fprintf(stderr, "unknown: %s\n", name);
  exit(1);
}

static const char *const TIES[] = {"average", "ordinal", NULL};
static const char *const MEASURES[] = {"kendall", "kendall-b", "kendall-ordinal", "spearman", "spearman-ordinal", "top-order", "top-order-ordinal", NULL};
static const char *const MAPS[] = {"linear", "clamped", "threshold", NULL};
static const char *const LOSSES[] = {"cream", "dpo", "ipo", NULL};

/* Calls what the line names; `got` takes its numbers, `count` how many. */
static CreamStatus call(const char *name, double *got, size_t *count, CreamError *error) {
  static double a[MOST], b[MOST];
  static size_t order[2 * MOST];
  *count = 1;
  if (!strcmp(name, "agreement")) {
    const uint32_t measure = constant(MEASURES);
    const size_t n = list(a), m = list(b);
    if (n != m) return CREAM_STATUS_LENGTH;
    return cream_agreement(measure, a, b, n, order, cream_agreement_scratch(measure, n), got, error);
  }
  if (!strcmp(name, "ranks")) {
    const uint32_t ties = constant(TIES);
    *count = list(a);
    return cream_ranks(a, *count, ties, order, got, error);
  }
  if (!strcmp(name, "consistency")) {
    const uint32_t map = constant(MAPS);
    const double threshold = number(), agreement = number();
    return cream_consistency(map, threshold, agreement, got, error);
  }
  if (!strcmp(name, "mean-consistency")) {
    const size_t n = list(a);
    return cream_mean_consistency(a, n, got, error);
  }
  if (!strcmp(name, "completion-logps")) {
    static float logps[MOST];
    const size_t n = list(a);
    for (size_t i = 0; i < n; i++) logps[i] = (float)a[i];
    return cream_completion_logps(logps, n, got, error);
  }
  if (!strcmp(name, "mean-logps")) {
    const double logps = number();
    return cream_mean_logps(logps, (size_t)number(), got, error);
  }
  if (!strcmp(name, "implicit-reward")) {
    const double beta = number(), policy = number(), reference = number();
    return cream_implicit_reward(beta, policy, reference, got, error);
  }
  if (!strcmp(name, "choose-pair")) {
    CreamPair pair = {0, 0, 0};
    const double minimum = number();
    const size_t n = list(a);
    const CreamStatus status = cream_choose_pair(a, n, minimum, &pair, error);
    got[0] = (double)pair.chosen, got[1] = (double)pair.rejected, got[2] = pair.margin, *count = 3;
    return status;
  }
  if (!strcmp(name, "pair-loss")) {
    const uint32_t loss = constant(LOSSES);
    const double beta = number(), consistency = number();
    CreamPairLogps logps;
    logps.chosen = number(), logps.rejected = number();
    logps.reference_chosen = number(), logps.reference_rejected = number();
    const double weight = number();
    CreamPairLoss pair = {0, 0, 0, 0, 0, 0, 0, 0};
    const CreamStatus status = cream_pair_loss(loss, beta, consistency, &logps, weight, (size_t)number(), &pair, error);
    memcpy(got, &pair, sizeof pair);
    *count = sizeof pair / sizeof(double);
    return status;
  }
  fprintf(stderr, "unknown: %s\n", name);
  exit(1);
}

int main(int argc, char **argv) {
  static char line[64 * MOST];
  static double got[MOST];
  FILE *file = argc == 2 ? fopen(argv[1], "r") : NULL;
  if (!file) return fprintf(stderr, "usage: doors FILE\n"), 1;
  int cases = 0, wrong = 0;
  for (; fgets(line, sizeof line, file); cases++) {
    size_t last = 0, count;
    for (char *token = strtok(line, " \n"); token; token = strtok(NULL, " \n")) words[last++] = token;
    next = 0;
    CreamError error = {{0}};
    const char *name = word();
    const CreamStatus status = call(name, got, &count, &error);
    if (strcmp(word(), "=")) return fprintf(stderr, "case %d: %s takes other arguments\n", cases, name), 1;
    const char *first = next < last ? words[next] : "";
    int good;
    if (!strcmp(first, "error")) {
      good = status < 0 && *error.message;
    } else if (!strcmp(first, "undefined")) {
      good = status == CREAM_STATUS_UNDEFINED;
    } else {
      good = status == CREAM_STATUS_OK && last - next == count;
      for (size_t i = 0; good && i < count; i++) {
        const double expected = number();
        good = fabs(got[i] - expected) <= TOLERANCE * fmax(1, fabs(expected));
      }
    }
    if (!good) wrong++, printf("case %d, %s: status %d, %.17g, %s\n", cases, name, status, got[0], error.message);
  }
  fclose(file);
  printf("%d cases, %d wrong\n", cases, wrong);
  return wrong != 0 || cases == 0;
}
