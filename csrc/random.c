/* random.c - random numbers from a counter: Philox 4x32-10 of Salmon et al., "Parallel random
 * numbers: as easy as 1, 2, 3" (2011). A block of four words is a function of
 *   key      the seed
 *   counter  (block number, purpose, step low, step high)
 * so that what is drawn depends on nothing else: no state, no threads, no order of calls. */
#include "cnet.h"

#include <math.h>

static void philox(uint64_t seed, uint32_t block, uint32_t purpose, uint64_t step, uint32_t out[4])
{
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    uint32_t c0 = block, c1 = purpose, c2 = (uint32_t)step, c3 = (uint32_t)(step >> 32);
    for (int round = 0; round < 10; round++) {
        const uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}

/* The block that has the draws 2 i and 2 i + 1; beyond 2^32 the purpose's upper half counts on. */
static void block(uint64_t seed, uint32_t purpose, uint64_t step, uint64_t i, uint32_t word[4])
{
    philox(seed, (uint32_t)i, purpose | (uint32_t)(i >> 32) << 8, step, word);
}

/* The i-th 64-bit draw, out of its block. */
static uint64_t half(const uint32_t word[4], uint64_t i)
{
    return i & 1 ? (uint64_t)word[3] << 32 | word[2] : (uint64_t)word[1] << 32 | word[0];
}

static uint64_t draw(uint64_t seed, uint32_t purpose, uint64_t step, uint64_t i)
{
    uint32_t word[4];
    block(seed, purpose, step, i >> 1, word);
    return half(word, i);
}

/* The middle of one of 2^53 equal parts of (0, 1): never 0, never 1. */
static double uniform(uint64_t bits)
{
    return ((double)(bits >> 12) + 0.5) * 0x1p-52;
}

void cnet_random_uniform(uint64_t seed, uint32_t purpose, uint64_t step, size_t n, double *out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = uniform(draw(seed, purpose, step, i));
}

/* c[0] + c[1] x + ... + c[7] x^7 */
static double polynomial(const double c[8], double x)
{
    double value = c[7];
    for (int i = 6; i >= 0; i--)
        value = value * x + c[i];
    return value;
}

/* The standard normal's inverse distribution function: Wichura, algorithm AS 241 (PPND16),
 * Applied Statistics 37 (1988); relative error about 1e-16. */
static double normal_quantile(double p)
{
    static const double a[8] = {3.3871328727963666080e0, 1.3314166789178437745e+2,
                                1.9715909503065514427e+3, 1.3731693765509461125e+4,
                                4.5921953931549871457e+4, 6.7265770927008700853e+4,
                                3.3430575583588128105e+4, 2.5090809287301226727e+3};
    static const double b[8] = {1.0, 4.2313330701600911252e+1, 6.8718700749205790830e+2,
                                5.3941960214247511077e+3, 2.1213794301586595867e+4,
                                3.9307895800092710610e+4, 2.8729085735721942674e+4,
                                5.2264952788528545610e+3};
    static const double c[8] = {1.42343711074968357734e0, 4.63033784615654529590e0,
                                5.76949722146069140550e0, 3.64784832476320460504e0,
                                1.27045825245236838258e0, 2.41780725177450611770e-1,
                                2.27238449892691845833e-2, 7.74545014278341407640e-4};
    static const double d[8] = {1.0, 2.05319162663775882187e0, 1.67638483018380384940e0,
                                6.89767334985100004550e-1, 1.48103976427480074590e-1,
                                1.51986665636164571966e-2, 5.47593808499534494600e-4,
                                1.05075007164441684324e-9};
    static const double e[8] = {6.65790464350110377720e0, 5.46378491116411436990e0,
                                1.78482653991729133580e0, 2.96560571828504891230e-1,
                                2.65321895265761230930e-2, 1.24266094738807843860e-3,
                                2.71155556874348757815e-5, 2.01033439929228813265e-7};
    static const double f[8] = {1.0, 5.99832206555887937690e-1, 1.36929880922735805310e-1,
                                1.48753612908506148525e-2, 7.86869131145613259100e-4,
                                1.84631831751005468180e-5, 1.42151175831644588870e-7,
                                2.04426310338993978564e-15};
    const double q = p - 0.5;
    if (fabs(q) <= 0.425) {
        const double r = 0.180625 - q * q;
        return q * polynomial(a, r) / polynomial(b, r);
    }
    double r = sqrt(-log(q < 0 ? p : 1 - p)), x;
    if (r <= 5) {
        r -= 1.6;
        x = polynomial(c, r) / polynomial(d, r);
    } else {
        r -= 5;
        x = polynomial(e, r) / polynomial(f, r);
    }
    return q < 0 ? -x : x;
}

void cnet_random_normal(uint64_t seed, uint32_t purpose, uint64_t step, size_t n, double *out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = normal_quantile(uniform(draw(seed, purpose, step, i)));
}

void cnet_random_truncated(uint64_t seed, uint32_t purpose, uint64_t step, double bound, size_t n,
                           double *out)
{
    const double low = 0.5 * erfc(bound * 0.70710678118654752440);
    for (size_t i = 0; i < n; i++)
        out[i] = normal_quantile(low + uniform(draw(seed, purpose, step, i)) * (1 - 2 * low));
}

void cnet_random_order(uint64_t seed, uint32_t purpose, uint64_t step, size_t n, int64_t *out)
{
    uint32_t word[4];
    for (size_t i = 0; i < n; i++)
        out[i] = (int64_t)i;
    block(seed, purpose, step, n >> 1, word);
    /* The remainder of 64 random bits favours no index by more than n / 2^64. */
    for (size_t i = n; i > 1; i--) {
        if (i & 1) /* counting down, an odd draw is the first one of its block */
            block(seed, purpose, step, i >> 1, word);
        const size_t j = (size_t)(half(word, i) % i);
        const int64_t last = out[i - 1];
        out[i - 1] = out[j];
        out[j] = last;
    }
}
