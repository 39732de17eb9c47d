/* The maths of CREAM (arXiv 2410.12735) for C: rewards from log-probs, rankings and how far two agree, the choice of a pair,
 * the loss with its gradient. Link libcream_capi.
 *
 * The caller brings all memory; nothing is allocated, kept or locked, and any thread may call anything. Every function
 * returns a status. CREAM_STATUS_UNDEFINED is no failure: good input of which the quantity is not defined, such as tau-b of a
 * constant ranking. Negative ones are failures: outputs are then left as they were, and `error`, unless it is NULL, says in
 * one line what was wrong. Arrays must not overlap outputs. NULL is taken for an empty array.
 *
 * Log-probs, rewards and losses are double. Letters: N completions of a prompt.
 *
 * Made by cbindgen, see tests/header.rs of cream-capi; do not edit. */


#ifndef CREAM_H
#define CREAM_H

#include <stddef.h>
#include <stdint.h>

// Bytes of a message, its closing zero among them.
#define CREAM_MESSAGE_BYTES 160

// What became of a call. Negative: a failure, the output is as it was.
typedef enum CreamStatus {
  // The output is written.
  CREAM_STATUS_OK = 0,
  // The input is good, and the quantity is not defined for it, or there is no pair: the output is as it was.
  CREAM_STATUS_UNDEFINED = 1,
  // A pointer is NULL or not aligned.
  CREAM_STATUS_POINTER = -1,
  // A number is out of its range, not finite, or no constant of this header.
  CREAM_STATUS_VALUE = -2,
  // An array has too few elements, or lengths differ.
  CREAM_STATUS_LENGTH = -3,
  // A fault of this library: please report it.
  CREAM_STATUS_INTERNAL = -4,
} CreamStatus;

// What becomes of equal values in a ranking: `CREAM_TIES_*`.
typedef uint32_t CreamTies;

// What was wrong, in one line of UTF-8; of a success it is left as it was.
typedef struct CreamError {
  // Closed by a zero, and cut where there is no room.
  char message[CREAM_MESSAGE_BYTES];
} CreamError;

// A measure of agreement between two rankings: `CREAM_MEASURE_*`. Those named ORDINAL break ties by position first, as the
// authors' code does.
typedef uint32_t CreamMeasure;

// From an agreement tau to a consistency C: `CREAM_MAP_*`.
typedef uint32_t CreamMap;

// A preference pair, as indices into the completions.
typedef struct CreamPair {
  // The completion with the highest reward.
  size_t chosen;
  // The completion with the lowest reward.
  size_t rejected;
  // Reward of the chosen less reward of the rejected; positive.
  double margin;
} CreamPair;

// A loss on preference pairs: `CREAM_LOSS_*`.
typedef uint32_t CreamLoss;

// Log-probs of a pair's completions, summed over their tokens.
typedef struct CreamPairLogps {
  // Of the chosen completion under the policy.
  double chosen;
  // Of the rejected completion under the policy.
  double rejected;
  // Of the chosen completion under the training reference.
  double reference_chosen;
  // Of the rejected completion under the training reference.
  double reference_rejected;
} CreamPairLogps;

// A pair's loss, what training logs of it, and its gradient.
typedef struct CreamPairLoss {
  // In nats; of IPO in squared nats.
  double loss;
  // Reward of the chosen less reward of the rejected.
  double margin;
  // beta * (chosen - reference_chosen).
  double reward_chosen;
  // beta * (rejected - reference_rejected).
  double reward_rejected;
  // dL / d chosen.
  double d_chosen;
  // dL / d rejected.
  double d_rejected;
  // dL / d reference_chosen.
  double d_reference_chosen;
  // dL / d reference_rejected.
  double d_reference_rejected;
} CreamPairLoss;

// Equal values share the mean of the ranks that they span.
#define CREAM_TIES_AVERAGE 0

// Equal values are told apart by position, the earlier ranking lower.
#define CREAM_TIES_ORDINAL 1

// Kendall's tau-a: a tied pair counts 0. The paper's.
#define CREAM_MEASURE_KENDALL 0

// Kendall's tau-b, corrected for ties; undefined where a ranking is constant.
#define CREAM_MEASURE_KENDALL_B 1

// Kendall's tau of ordinal ranks. The authors' code's.
#define CREAM_MEASURE_KENDALL_ORDINAL 2

// Spearman's rho of average ranks; undefined where a ranking is constant.
#define CREAM_MEASURE_SPEARMAN 3

// Spearman's rho of ordinal ranks.
#define CREAM_MEASURE_SPEARMAN_ORDINAL 4

// 1 where the best and the worst are the same, else -1; undefined where a ranking is constant.
#define CREAM_MEASURE_TOP_ORDER 5

// The same with ties broken by position.
#define CREAM_MEASURE_TOP_ORDER_ORDINAL 6

// (tau + 1) / 2. The paper's.
#define CREAM_MAP_LINEAR 0

// (tau + 1) / 2, at least 1/2.
#define CREAM_MAP_CLAMPED 1

// (tau + 1) / 2, undefined (the pair is dropped) below a threshold.
#define CREAM_MAP_THRESHOLD 2

// DPO, weighed by the consistency against its reverse.
#define CREAM_LOSS_CREAM 0

// Plain DPO, whatever the consistency.
#define CREAM_LOSS_DPO 1

// Identity preference optimisation, whatever the consistency.
#define CREAM_LOSS_IPO 2

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// The version of this library, such as "0.1.0".
const char *cream_version(void);

// Ranks from 1, the smallest value first, of `values` `[n]` into `ranks` `[n]`. `order` `[n]` is scratch.
enum CreamStatus cream_ranks(const double *values,
                             size_t n,
                             CreamTies ties,
                             size_t *order,
                             double *ranks,
                             struct CreamError *error);

// How many elements of scratch `cream_agreement` needs for n completions; 0 up to 64 of them.
size_t cream_agreement_scratch(CreamMeasure measure, size_t n);

// How far two rewardings of the same N >= 2 completions agree, from -1 to 1: 1 for the same ranking without ties, -1 for
// its reverse. `current` `[n]`, `previous` `[n]`; `scratch` `[scratch_len]`, see `cream_agreement_scratch`.
// CREAM_STATUS_UNDEFINED where the measure is.
enum CreamStatus cream_agreement(CreamMeasure measure,
                                 const double *current,
                                 const double *previous,
                                 size_t n,
                                 size_t *scratch,
                                 size_t scratch_len,
                                 double *agreement,
                                 struct CreamError *error);

// The consistency C of a prompt, from 0 to 1, of an agreement from -1 to 1. `threshold`, from 0 to 1, is that of
// CREAM_MAP_THRESHOLD. CREAM_STATUS_UNDEFINED where the prompt's pair is to be dropped.
enum CreamStatus cream_consistency(CreamMap map,
                                   double threshold,
                                   double agreement,
                                   double *consistency,
                                   struct CreamError *error);

// The mean of `consistencies` `[n]` over prompts, n >= 1: one C for the whole set, the paper's main setting.
enum CreamStatus cream_mean_consistency(const double *consistencies,
                                        size_t n,
                                        double *mean,
                                        struct CreamError *error);

// log p(y|x): the sum of `token_logps` `[tokens]` over the completion's tokens, the end-of-turn token among them.
enum CreamStatus cream_completion_logps(const float *token_logps,
                                        size_t tokens,
                                        double *logps,
                                        struct CreamError *error);

// log p(y|x) per token.
enum CreamStatus cream_mean_logps(double logps,
                                  size_t tokens,
                                  double *mean,
                                  struct CreamError *error);

// beta * (log p_policy(y|x) - log p_reference(y|x)), the implicit reward of DPO.
enum CreamStatus cream_implicit_reward(double beta,
                                       double policy_logps,
                                       double reference_logps,
                                       double *reward,
                                       struct CreamError *error);

// A reward per token, so that a completion gains nothing by its length alone.
enum CreamStatus cream_length_normalised_reward(double reward,
                                                size_t tokens,
                                                double *normalised,
                                                struct CreamError *error);

// A reward less `alpha` for each token.
enum CreamStatus cream_length_penalised_reward(double reward,
                                               double alpha,
                                               size_t tokens,
                                               double *penalised,
                                               struct CreamError *error);

// Best and worst of `rewards` `[n]`, n >= 2, the first of equals. CREAM_STATUS_UNDEFINED, no pair, where all are equal or the
// margin is less than `minimum_margin` (0 asks for nothing more).
enum CreamStatus cream_choose_pair(const double *rewards,
                                   size_t n,
                                   double minimum_margin,
                                   struct CreamPair *pair,
                                   struct CreamError *error);

// Best of `rewards` `[n]` and worst of `anchors` `[m]`, n and m >= 1: completions of the initial model, which stay as bad as
// they are while the policy's get better. `rejected` is then an index into the anchors.
enum CreamStatus cream_choose_anchored_pair(const double *rewards,
                                            size_t n,
                                            const double *anchors,
                                            size_t m,
                                            double minimum_margin,
                                            struct CreamPair *pair,
                                            struct CreamError *error);

// The loss of one pair of consistency C, from 0 to 1, with its gradient with respect to the log-probs.
//
// `sft_weight`: 0, or so many times the negative log-likelihood per token of the chosen completion, of `chosen_tokens` >= 1
// tokens, is added.
enum CreamStatus cream_pair_loss(CreamLoss loss,
                                 double beta,
                                 double consistency,
                                 const struct CreamPairLogps *logps,
                                 double sft_weight,
                                 size_t chosen_tokens,
                                 struct CreamPairLoss *pair_loss,
                                 struct CreamError *error);

// The losses of n pairs: `consistencies` `[n]`, `logps` `[n]`, `pair_losses` `[n]`. Gradients are those of each pair's own loss,
// not of the mean. The first pair that is refused ends the work and is named; those before it are written.
enum CreamStatus cream_pair_losses(CreamLoss loss,
                                   double beta,
                                   const double *consistencies,
                                   const struct CreamPairLogps *logps,
                                   size_t n,
                                   struct CreamPairLoss *pair_losses,
                                   struct CreamError *error);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* CREAM_H */
