/* Constants and polynomials of vmath.h for float; the functions come from vmath_schemes.inc.
 * The polynomials are printed by benchmarks/fit_polynomials.py; the errors given are those of the
 * coefficients as they stand here, in exact arithmetic. */
#ifndef CNET_VMATH_F32_H
#define CNET_VMATH_F32_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "template.h"

/* (e^r - 1 - r) / r^2, error relative to e^r - 1.
 * -0.34692 <= r <= 0.34692, max error 2^-25.8. */
static inline float vm_exp_polynomial_f32(float r) {
    float p = 0.00138824724f;
    p = p * r + 0.00836658012f;
    p = p * r + 0.0416672006f;
    p = p * r + 0.166665435f;
    p = p * r + 0.49999997f;
    return p;
}

/* (2 atanh(s) - 2 s) / s^3 with z = s^2, error relative to 2 atanh(s).
 * 0.0 <= z <= 0.029437, max error 2^-30.1. */
static inline float vm_log_polynomial_f32(float z) {
    float p = 0.29871738f;
    p = p * z + 0.399775416f;
    p = p * z + 0.666667759f;
    return p;
}

/* erf(x) / x - 1 with z = x^2, error relative to erf(x).
 * 0.0 <= z <= 0.5625, max error 2^-27.0. */
static inline float vm_erf_polynomial_f32(float z) {
    float p = -0.000674952113f;
    p = p * z + 0.00511434674f;
    p = p * z - 0.0268346258f;
    p = p * z + 0.112833768f;
    p = p * z - 0.3761262f;
    p = p * z + 0.128379166f;
    return p;
}

/* (u + a) exp(u^2 / 2) Phi(-u), t = (u - a) / (u + a), a = 2.46875; relative error.
 * -0.66316 <= t <= 0.71735, max error 2^-26.0. */
static inline float vm_mills_polynomial_f32(float t) {
    const float square = t * t;
    float even = -0.000198811831f;
    even = even * square + 0.000836895313f;
    even = even * square - 0.00220577721f;
    even = even * square + 0.0120080821f;
    float odd = -0.000288046576f;
    odd = odd * square + 0.00242085685f;
    odd = odd * square - 0.0159612969f;
    float p = even + odd * t;
    p = p * t + 0.125556216f;
    p = p * t - 0.428162545f;
    p = p * t + 0.704927921f;
    return p;
}

#define T float
#define SUFFIX f32
#define VM_UINT uint32_t
#define VM_ABS __builtin_fabsf
#define VM_COPYSIGN __builtin_copysignf

/* The format: bits of the mantissa, bias of the exponent, ulp of 1, smallest normal number. */
#define VM_MANTISSA 23
#define VM_BIAS 127
#define VM_EPSILON 0x1p-23f
#define VM_MIN_NORMAL 0x1p-126f
#define VM_ROUND 0x1.8p23f /* x + VM_ROUND has an ulp of 1 */
#define VM_UPPER_HALF UINT32_C(0xfffff000) /* leaves a number whose square is exact */
#define VM_SQRT_HALF_BITS UINT32_C(0x3f3504f3) /* bits of sqrt(1/2) */
#define VM_SQRT_HALF_TO_ONE (UINT32_C(0x3f800000) - VM_SQRT_HALF_BITS)

/* ln 2 in two parts: the first has 15 bits and n has at most 8, so that their product is exact. */
#define VM_LN2_HI 0x1.62e4p-1f
#define VM_LN2_LO 1.42860677e-06f
#define VM_LOG2E 1.44269502f
#define VM_SQRT2 1.41421354f
#define VM_SQRT_HALF 0.707106769f

/* exp is infinite above VM_EXP_MAX and 0 below VM_EXP_MIN, tanh is 1 above VM_TANH_MAX. */
#define VM_EXP_MAX 89.0f
#define VM_EXP_MIN -105.0f
#define VM_TANH_MAX 10.0f
#define VM_LIFT 25 /* 2^VM_LIFT exp(VM_EXP_MIN) is a normal number */
#define VM_MILLS 2.46875f /* the a of Mills' ratio */

/* Where the functions change from one formula to the other. Of VM_TANH_SMALL twice must be below
 * ln(2) / 2; VM_ERF_SMALL is where the erf polynomial's interval ends, VM_CDF_SMALL where that of
 * Mills' ratio begins. */
#define VM_TANH_SMALL 0.173f
#define VM_SIGMOID_SMALL -1.0f
#define VM_ERF_SMALL 0.75f
#define VM_CDF_SMALL 0.5f

#include "vmath_schemes.inc"

#endif
