/* From rewards to a loss: five answers to one prompt, ranked by the model and by its former self.
 *
 *     cc -I crates/capi/include examples/c/pair.c -L target/release -lcream_capi -o pair */
#include <stdio.h>

#include "cream.h"

static int failed(const char *what, CreamStatus status, const CreamError *error) {
  if (status < 0) fprintf(stderr, "%s: %s\n", what, error->message);
  return status < 0;
}

int main(void) {
  const double current[5] = {0.31, -0.12, 0.55, 0.07, -0.40};
  const double previous[5] = {0.25, 0.01, 0.38, -0.09, -0.33};
  CreamError error = {{0}};
  double agreement, consistency;
  CreamPair pair;
  CreamStatus status;

  status = cream_agreement(CREAM_MEASURE_KENDALL, current, previous, 5, NULL, 0, &agreement, &error);
  if (failed("agreement", status, &error)) return 1;
  status = cream_consistency(CREAM_MAP_LINEAR, 0, agreement, &consistency, &error);
  if (failed("consistency", status, &error)) return 1;
  status = cream_choose_pair(current, 5, 0, &pair, &error);
  if (failed("pair", status, &error)) return 1;
  if (status == CREAM_STATUS_UNDEFINED) return puts("all answers are alike: nothing to learn"), 0;

  const CreamPairLogps logps = {.chosen = -11.2, .rejected = -14.9, .reference_chosen = -12.0, .reference_rejected = -14.1};
  CreamPairLoss loss;
  status = cream_pair_loss(CREAM_LOSS_CREAM, 0.1, consistency, &logps, 0, 1, &loss, &error);
  if (failed("loss", status, &error)) return 1;
  printf("cream-core %s: tau %.2f, C %.2f, answer %zu over %zu, loss %.6f, dL/d(chosen) %.6f\n", cream_version(), agreement,
         consistency, pair.chosen, pair.rejected, loss.loss, loss.d_chosen);
  return 0;
}
