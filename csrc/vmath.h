/* vmath.h - elementary functions for loops that the compiler vectorises.
 *
 * For T in float (suffix _f32) and double (_f64), all of them T cnet_<name>_<suffix>(T x):
 *   exp  expm1  log  log1p  tanh  erf      as in math.h
 *   sigmoid       1 / (1 + e^-x)
 *   softplus      log(1 + e^x)
 *   normal_cdf    Phi(x) = erfc(-x / sqrt(2)) / 2, to full relative accuracy in the lower tail
 *
 * Scalar, without a branch, a call or a table: a plain loop around one becomes vector code at
 * -O3 -fno-math-errno -fno-trapping-math, on any instruction set. -ffast-math must stay off: the
 * splitting of numbers in here is what it would remove. errno and the exception flags mean nothing.
 *
 * Every argument is allowed. NaN gives NaN; infinities, zeros (with their sign), and denormal
 * arguments and results are those of the exact function, rounded. The error is below 2.1 ulp, for
 * normal_cdf below 5; each function's comment in vmath_schemes.inc has its own figure. */
#ifndef CNET_VMATH_H
#define CNET_VMATH_H

#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
#define CNET_VMATH_FUSED /* x * y + z is one operation with one rounding */
#endif

#include "vmath_f32.h"
#include "vmath_f64.h"

#endif
