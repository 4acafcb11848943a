/* optimizers.c - what a step of an update rule computes once, in double, for all parameters. */
#include "cnet.h"

#include <math.h>
#include <string.h>

/* Bias corrections of the Adam family; see the comment of adam in optimizers.h. */
static void adam_like(const double *set, double *running, double *h)
{
    running[CNET_RUN_PRODUCT_1] *= set[CNET_SET_BETA_1];
    running[CNET_RUN_PRODUCT_2] *= set[CNET_SET_BETA_2];
    h[CNET_H_A] = set[CNET_SET_EPSILON];
    h[CNET_H_B] = 1 - set[CNET_SET_BETA_1];
    h[CNET_H_C] = 1 - set[CNET_SET_BETA_2];
    h[CNET_H_D] = set[CNET_SET_RATE] / (1 - running[CNET_RUN_PRODUCT_1]);
    h[CNET_H_E] = 1 / sqrt(1 - running[CNET_RUN_PRODUCT_2]);
    h[CNET_H_F] = set[CNET_SET_BETA_2];
}

/* torch.optim.NAdam: mu_t = beta_1 (1 - 0.96^(t psi) / 2), and the products of all mu so far. */
static void nadam(const double *set, double *running, double *h)
{
    const double t = running[CNET_RUN_STEPS], psi = set[CNET_SET_EXTRA];
    const double mu = set[CNET_SET_BETA_1] * (1 - 0.5 * pow(0.96, t * psi));
    const double next = set[CNET_SET_BETA_1] * (1 - 0.5 * pow(0.96, (t + 1) * psi));
    const double product = running[CNET_RUN_PRODUCT_1] * mu;
    adam_like(set, running, h);
    running[CNET_RUN_PRODUCT_1] = product;
    h[CNET_H_RATE] = set[CNET_SET_RATE] * (1 - mu) / (1 - product);
    h[CNET_H_D] = set[CNET_SET_RATE] * next / (1 - product * next);
}

/* At a rate of 0 nothing moves, and the steps are neither counted on nor bound. */
static void rprop(const double *set, double *h)
{
    const double rate = set[CNET_SET_RATE];
    h[CNET_H_A] = rate > 0 ? set[CNET_SET_BETA_1] : 1;
    h[CNET_H_B] = rate > 0 ? set[CNET_SET_BETA_2] : 1;
    h[CNET_H_C] = rate > 0 ? set[CNET_SET_EPSILON] / rate : 0;
    h[CNET_H_D] = rate > 0 ? set[CNET_SET_EXTRA] / rate : INFINITY;
}

/* Every step counts as much as the square of the largest rate so far in the mean of the steps. */
static void schedule_free(const double *set, double *running, double *h)
{
    const double t = running[CNET_RUN_STEPS], warm_up = set[CNET_SET_EXTRA];
    const double rate = set[CNET_SET_RATE] * (t < warm_up ? t / warm_up : 1);
    double *sum = &running[CNET_RUN_PRODUCT_1], *largest = &running[CNET_RUN_PRODUCT_2];
    if (t == 1)
        *sum = *largest = 0;
    *largest = rate > *largest ? rate : *largest;
    *sum += *largest * *largest;
    h[CNET_H_RATE] = rate;
    h[CNET_H_SHRINK] = 1;
    h[CNET_H_A] = set[CNET_SET_EPSILON];
    h[CNET_H_B] = 1 - set[CNET_SET_BETA_1];
    h[CNET_H_C] = 1 - set[CNET_SET_BETA_2];
    h[CNET_H_D] = *sum > 0 ? *largest * *largest / *sum : 0;
    h[CNET_H_E] = 1 / sqrt(1 - pow(set[CNET_SET_BETA_2], t));
    h[CNET_H_F] = set[CNET_SET_BETA_2];
    h[CNET_H_G] = set[CNET_SET_DECAY];
}

/* AdamW at its share of the rate, and besides what the matrices need. */
static void muon(const double *set, double *running, double *h)
{
    double own[CNET_SETTINGS];
    memcpy(own, set, sizeof own);
    own[CNET_SET_RATE] *= set[CNET_SET_SHARE];
    adam_like(own, running, h);
    h[CNET_H_SHRINK] = 1 - own[CNET_SET_RATE] * set[CNET_SET_DECAY];
    h[CNET_H_G] = set[CNET_SET_EXTRA];
    h[CNET_H_H] = 1 - set[CNET_SET_RATE] * set[CNET_SET_DECAY];
}

void cnet_prepare(int optimizer, const double *set, double *running, double *h)
{
    running[CNET_RUN_STEPS] += 1;
    h[CNET_H_RATE] = set[CNET_SET_RATE];
    h[CNET_H_L2] = set[CNET_SET_L2];
    h[CNET_H_SHRINK] = 1 - set[CNET_SET_RATE] * set[CNET_SET_DECAY];
    h[CNET_H_FACTOR] = 1;
    h[CNET_H_BOUND] = INFINITY;
    switch (optimizer) {
    case CNET_OPT_sgd:
        break;
    case CNET_OPT_sgd_momentum:
    case CNET_OPT_sgd_nesterov:
        h[CNET_H_A] = set[CNET_SET_BETA_1];
        break;
    case CNET_OPT_adagrad:
        h[CNET_H_RATE] /= 1 + (running[CNET_RUN_STEPS] - 1) * set[CNET_SET_EXTRA];
        h[CNET_H_A] = set[CNET_SET_EPSILON];
        break;
    case CNET_OPT_adadelta:
    case CNET_OPT_rmsprop:
    case CNET_OPT_rmsprop_centered:
    case CNET_OPT_rmsprop_momentum:
    case CNET_OPT_rmsprop_centered_momentum:
        h[CNET_H_A] = set[CNET_SET_BETA_1];
        h[CNET_H_B] = 1 - set[CNET_SET_BETA_1];
        h[CNET_H_C] = set[CNET_SET_EPSILON];
        h[CNET_H_D] = set[CNET_SET_EXTRA];
        break;
    case CNET_OPT_adam:
    case CNET_OPT_amsgrad:
    case CNET_OPT_adamax:
        adam_like(set, running, h);
        break;
    case CNET_OPT_nadam:
        nadam(set, running, h);
        break;
    case CNET_OPT_lion:
        h[CNET_H_A] = set[CNET_SET_BETA_1];
        h[CNET_H_B] = 1 - set[CNET_SET_BETA_1];
        h[CNET_H_C] = 1 - set[CNET_SET_BETA_2];
        h[CNET_H_F] = set[CNET_SET_BETA_2];
        break;
    case CNET_OPT_rprop:
        rprop(set, h);
        break;
    case CNET_OPT_schedule_free_adamw:
        schedule_free(set, running, h);
        break;
    case CNET_OPT_muon:
        muon(set, running, h);
        break;
    }
}

/* ---- a step of all parameters -------------------------------------------------------------------- */

/* Partial sums at most. */
#define CNET_SUMS 256

typedef struct {
    const cnet_kernels *kernels;
    int optimizer;
    size_t n, part; /* elements, and those of a part */
    const double *h;
    const char *g;
    char *p;
    char *state[3];
    double *sums;
} job;

static void update_part(const void *context, size_t part, int lane, void *scratch)
{
    const job *j = context;
    const size_t first = part * j->part, at = first * j->kernels->itemsize;
    char *s[3];
    (void)lane, (void)scratch;
    for (int i = 0; i < 3; i++)
        s[i] = j->state[i] ? j->state[i] + at : NULL;
    j->kernels->update[j->optimizer](j->n - first < j->part ? j->n - first : j->part, j->h,
                                     j->g + at, j->p + at, s[0], s[1], s[2]);
}

static void sum_part(const void *context, size_t part, int lane, void *scratch)
{
    const job *j = context;
    const size_t first = part * j->part;
    (void)lane, (void)scratch;
    j->sums[part] = j->kernels->sum_squares(j->n - first < j->part ? j->n - first : j->part,
                                            j->g + first * j->kernels->itemsize);
}

static void run(job *j, cnet_task task, int threads)
{
    cnet_pool_run(j->n < CNET_STEP_SHARED_FROM ? 1 : threads, (j->n + j->part - 1) / j->part,
                  task, j, NULL);
}

/* The parts follow the size alone, so that the sum has the same bits with any number of threads. */
static double norm(job j, int threads)
{
    double sums[CNET_SUMS], total = 0;
    const size_t share = (j.n + CNET_SUMS - 1) / CNET_SUMS;
    j.part = share < CNET_STEP_PART ? CNET_STEP_PART : (share + 63) / 64 * 64;
    j.sums = sums;
    run(&j, sum_part, threads);
    for (size_t i = 0; i * j.part < j.n; i++)
        total += sums[i];
    return sqrt(total);
}

/* As torch.nn.utils.clip_grad_norm_: limit / (norm + 1e-6), and never above 1. */
static double factor(double limit, double norm)
{
    const double f = limit / (norm + 1e-6);
    return f < 1 ? f : f >= 1 ? 1 : f;
}

/* The work on the parameters from one place to another, both included. */
static job between(const job *all, const cnet_place *from, const cnet_place *to)
{
    const size_t at = from->offset * all->kernels->itemsize;
    job j = *all;
    j.n = to->offset + to->size - from->offset;
    j.g = j.g ? j.g + at : NULL;
    j.p += at;
    for (int s = 0; s < 3; s++)
        j.state[s] = j.state[s] ? j.state[s] + at : NULL;
    return j;
}

/* The last place of the run of places that begins at i and takes part, which i does; of one group
 * if need be. */
static size_t run_end(const cnet_place *places, size_t count, size_t i, int one_group)
{
    while (i + 1 < count && !places[i + 1].frozen && !places[i].rows && !places[i + 1].rows
           && !(one_group && places[i + 1].group != places[i].group))
        i++;
    return i;
}

double cnet_update(const cnet_kernels *kernels, int optimizer, const cnet_clip *clip, size_t groups,
                   double *h, size_t count, const cnet_place *places, const void *g, void *p,
                   void *const *state, void *work, int threads)
{
    const job all = {kernels, optimizer, 0, CNET_STEP_PART, h, g, p,
                     {state[0], state[1], state[2]}, NULL};
    double squares = 0;
    if (clip->by == CNET_CLIP_VALUE)
        for (size_t i = 0; i < groups; i++)
            h[i * CNET_HYPER + CNET_H_BOUND] = clip->limit;
    if (clip->by == CNET_CLIP_GLOBAL_NORM) {
        for (size_t i = 0; i < count; i++)
            if (!places[i].frozen) {
                const size_t end = run_end(places, count, i, 0);
                const double own = norm(between(&all, &places[i], &places[end]), threads);
                squares += own * own;
                i = end;
            }
        for (size_t i = 0; i < groups; i++)
            h[i * CNET_HYPER + CNET_H_FACTOR] = factor(clip->limit, sqrt(squares));
    }
    for (size_t i = 0; i < count; i++)
        if (!places[i].frozen) {
            const size_t end = clip->by == CNET_CLIP_NORM ? i : run_end(places, count, i, 1);
            double *own_h = h + places[i].group * CNET_HYPER;
            job j = between(&all, &places[i], &places[end]);
            j.h = own_h;
            if (clip->by == CNET_CLIP_NORM) {
                const double own = norm(j, threads);
                squares += own * own;
                own_h[CNET_H_FACTOR] = factor(clip->limit, own);
            }
            if (places[i].rows)
                cnet_muon_step(kernels, own_h, places[i].rows, places[i].columns, j.g, j.p,
                               j.state[0], (char *)work + CNET_SCRATCH_BYTES, work, threads);
            else
                run(&j, update_part, threads);
            i = end;
        }
    return sqrt(squares);
}

/* ---- gradients elsewhere than at the parameters --------------------------------------------------- */

static void lead_part(const void *context, size_t part, int lane, void *scratch)
{
    const job *j = context;
    const size_t first = part * j->part, at = first * j->kernels->itemsize;
    (void)lane, (void)scratch;
    j->kernels->lead(j->n - first < j->part ? j->n - first : j->part, *j->h, j->p + at,
                     j->state[0] + at, j->state[2] + at);
}

static void back_part(const void *context, size_t part, int lane, void *scratch)
{
    const job *j = context;
    const size_t first = part * j->part, at = first * j->kernels->itemsize;
    (void)lane, (void)scratch;
    memcpy(j->p + at, j->state[2] + at,
           (j->n - first < j->part ? j->n - first : j->part) * j->kernels->itemsize);
}

void cnet_lead(const cnet_kernels *kernels, int optimizer, const double *settings, size_t count,
               const cnet_place *places, void *p, void *const *state, int back, int threads)
{
    if (optimizer != CNET_OPT_schedule_free_adamw)
        return;
    const double share = 1 - settings[CNET_SET_BETA_1];
    const job all = {kernels, optimizer, 0, CNET_STEP_PART, &share, NULL, p,
                     {state[0], state[1], state[2]}, NULL};
    for (size_t i = 0; i < count; i++)
        if (!places[i].frozen) {
            const size_t end = run_end(places, count, i, 0);
            job j = between(&all, &places[i], &places[end]);
            run(&j, back ? back_part : lead_part, threads);
            i = end;
        }
}
