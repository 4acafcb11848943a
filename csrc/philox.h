/* philox.h - Philox 4x32-10 for kernels: eight blocks at a time, the same bits as random.c's.
 *
 * A block of four words is a function of the key (the seed) and the counter (block number, purpose
 * and operation, step low, step high). The number has 32 bits: a step that drew more than 2^32
 * blocks for one operation, from tens of gigabytes of activations, would meet the first ones
 * again. */
#ifndef CNET_PHILOX_H
#define CNET_PHILOX_H

#include <stdint.h>
#include <string.h>

#include "template.h"

#define CNET_BLOCKS 8
#define CNET_PHILOX_M0 0xD2511F53u
#define CNET_PHILOX_M1 0xCD9E8D57u
#define CNET_PHILOX_W0 0x9E3779B9u
#define CNET_PHILOX_W1 0xBB67AE85u

/* All of key and counter but the block's number. */
typedef struct cnet_stream {
    uint64_t seed, step;
    uint32_t purpose; /* CNET_FOR_..., the operation's stream in the upper 24 bits */
} cnet_stream;

#if defined(__SSE2__) && !defined(__clang__)

/* GCC multiplies vectors of 64-bit integers in full, three products for each that is needed here,
 * unless it is told that the upper halves do not matter. Every 64-bit lane carries one word in its
 * lower half; what gathers in the upper half is never looked at. */
#ifdef __AVX2__
#define CNET_PHILOX_BYTES 32
#define CNET_LOWER_PRODUCT __builtin_ia32_pmuludq256
#else
#define CNET_PHILOX_BYTES 16
#define CNET_LOWER_PRODUCT __builtin_ia32_pmuludq128
#endif
#define CNET_PHILOX_VECTORS (64 / CNET_PHILOX_BYTES) /* that hold a word of all eight blocks */

typedef uint64_t cnet_wide __attribute__((vector_size(CNET_PHILOX_BYTES)));
typedef int32_t cnet_narrow __attribute__((vector_size(CNET_PHILOX_BYTES)));

CNET_INLINE cnet_wide cnet_lower_product(cnet_wide a, cnet_wide b)
{
    return (cnet_wide)CNET_LOWER_PRODUCT((cnet_narrow)a, (cnet_narrow)b);
}

/* word[8 k + l] becomes word k of block number `first` + l. */
CNET_INLINE void cnet_philox(const cnet_stream *s, uint32_t first, uint32_t *word)
{
    const cnet_wide zero = {0}, m0 = zero + CNET_PHILOX_M0, m1 = zero + CNET_PHILOX_M1;
    uint32_t k0 = (uint32_t)s->seed, k1 = (uint32_t)(s->seed >> 32);
    /* The even blocks come first, then the odd ones: at the end, the words of an even and an odd
     * vector interleave to the order of the blocks by a shift. */
    uint64_t number[CNET_BLOCKS];
    for (uint32_t l = 0; l < CNET_BLOCKS; l++)
        number[l] = (uint32_t)(first + 2 * (l % 4) + l / 4);
    cnet_wide c[4][CNET_PHILOX_VECTORS];
    memcpy(c[0], number, sizeof number);
    for (int v = 0; v < CNET_PHILOX_VECTORS; v++) {
        c[1][v] = zero + s->purpose;
        c[2][v] = zero + (uint32_t)s->step;
        c[3][v] = zero + (s->step >> 32);
    }
    for (int round = 0; round < 10; round++) {
        for (int v = 0; v < CNET_PHILOX_VECTORS; v++) {
            const cnet_wide p0 = cnet_lower_product(c[0][v], m0);
            const cnet_wide p1 = cnet_lower_product(c[2][v], m1);
            c[0][v] = (p1 >> 32) ^ c[1][v] ^ k0;
            c[2][v] = (p0 >> 32) ^ c[3][v] ^ k1;
            c[1][v] = p1;
            c[3][v] = p0;
        }
        k0 += CNET_PHILOX_W0;
        k1 += CNET_PHILOX_W1;
    }
    for (int k = 0; k < 4; k++)
        for (int v = 0; v < CNET_PHILOX_VECTORS / 2; v++) {
            const cnet_wide both =
                (c[k][v] & UINT32_MAX) | (c[k][v + CNET_PHILOX_VECTORS / 2] << 32);
            memcpy(word + CNET_BLOCKS * k + v * CNET_PHILOX_BYTES / 4, &both, sizeof both);
        }
}

#else

/* word[8 k + l] becomes word k of block number `first` + l. */
CNET_INLINE void cnet_philox(const cnet_stream *s, uint32_t first, uint32_t *word)
{
    uint32_t k0 = (uint32_t)s->seed, k1 = (uint32_t)(s->seed >> 32);
    uint32_t *c0 = word, *c1 = c0 + CNET_BLOCKS, *c2 = c1 + CNET_BLOCKS, *c3 = c2 + CNET_BLOCKS;
    for (uint32_t l = 0; l < CNET_BLOCKS; l++) {
        c0[l] = first + l;
        c1[l] = s->purpose;
        c2[l] = (uint32_t)s->step;
        c3[l] = (uint32_t)(s->step >> 32);
    }
    for (int round = 0; round < 10; round++) {
        for (int l = 0; l < CNET_BLOCKS; l++) {
            const uint64_t p0 = (uint64_t)CNET_PHILOX_M0 * c0[l];
            const uint64_t p1 = (uint64_t)CNET_PHILOX_M1 * c2[l];
            c0[l] = (uint32_t)(p1 >> 32) ^ c1[l] ^ k0;
            c2[l] = (uint32_t)(p0 >> 32) ^ c3[l] ^ k1;
            c1[l] = (uint32_t)p1;
            c3[l] = (uint32_t)p0;
        }
        k0 += CNET_PHILOX_W0;
        k1 += CNET_PHILOX_W1;
    }
}

#endif

#endif
