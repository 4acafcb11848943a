/* optimizers.c - what a step of an update rule computes once, in double, for all parameters. */
#include "cnet.h"

#include <math.h>

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

void cnet_prepare(int optimizer, const double *set, double *running, double *h)
{
    running[CNET_RUN_STEPS] += 1;
    h[CNET_H_RATE] = set[CNET_SET_RATE];
    h[CNET_H_L2] = set[CNET_SET_L2];
    h[CNET_H_SHRINK] = 1 - set[CNET_SET_RATE] * set[CNET_SET_DECAY];
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
    }
}

/* Elements of a part: whole vectors on every instruction set, and longer than waking a thread up. */
#define CNET_PART (1 << 15)

typedef struct {
    const cnet_kernels *kernels;
    int optimizer;
    size_t n;
    const double *h;
    const char *g;
    char *p;
    void *const *state;
} update;

static void update_part(const void *context, size_t part, int lane, void *scratch)
{
    const update *u = context;
    const size_t first = part * CNET_PART, at = first * u->kernels->itemsize;
    char *s[3];
    (void)lane, (void)scratch;
    for (int i = 0; i < 3; i++)
        s[i] = u->state[i] ? (char *)u->state[i] + at : NULL;
    u->kernels->update[u->optimizer](u->n - first < CNET_PART ? u->n - first : CNET_PART, u->h,
                                     u->g + at, u->p + at, s[0], s[1], s[2]);
}

void cnet_update(const cnet_kernels *kernels, int optimizer, size_t n, const double *h,
                 const void *g, void *p, void *const *state, int threads)
{
    const update u = {kernels, optimizer, n, h, g, p, state};
    if (threads < 2 || n < 8 * CNET_PART)
        kernels->update[optimizer](n, h, g, p, state[0], state[1], state[2]);
    else
        cnet_pool_run(threads, (n + CNET_PART - 1) / CNET_PART, update_part, &u, NULL);
}
