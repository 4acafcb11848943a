/* Constants and polynomials of vmath.h for double; the functions come from vmath_schemes.inc.
 * The polynomials are printed by benchmarks/fit_polynomials.py; the errors given are those of the
 * coefficients as they stand here, in exact arithmetic. */
#ifndef CNET_VMATH_F64_H
#define CNET_VMATH_F64_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "template.h"

/* (e^r - 1 - r) / r^2, error relative to e^r - 1.
 * -0.34692 <= r <= 0.34692, max error 2^-59.7. */
static inline double vm_exp_polynomial_f64(double r) {
    const double square = r * r;
    double even = 2.0875320665998783e-09;
    even = even * square + 2.7557402975460559e-07;
    even = even * square + 2.4801587171783849e-05;
    even = even * square + 0.0013888888888962947;
    even = even * square + 0.041666666666666505;
    double odd = 2.5109082188547836e-08;
    odd = odd * square + 2.7557244101799038e-06;
    odd = odd * square + 0.00019841269886210463;
    odd = odd * square + 0.0083333333333216065;
    double p = even + odd * r;
    p = p * r + 0.16666666666666677;
    p = p * r + 0.5;
    return p;
}

/* (2 atanh(s) - 2 s) / s^3 with z = s^2, error relative to 2 atanh(s).
 * 0.0 <= z <= 0.029437, max error 2^-59.0. */
static inline double vm_log_polynomial_f64(double z) {
    const double square = z * z;
    double even = 0.1531405203110312;
    even = even * square + 0.22222198574363941;
    even = even * square + 0.39999999999414731;
    double odd = 0.14795935483958889;
    odd = odd * square + 0.18183564266320251;
    odd = odd * square + 0.28571428742376026;
    double p = even + odd * z;
    p = p * z + 0.6666666666666734;
    return p;
}

/* erf(x) / x - 1 with z = x^2, error relative to erf(x).
 * 0.0 <= z <= 0.5625, max error 2^-55.9. */
static inline double vm_erf_polynomial_f64(double z) {
    const double square = z * z;
    double even = -1.593760531982912e-07;
    even = even * square - 1.4924176680795982e-05;
    even = even * square - 0.00085483261691380013;
    even = even * square - 0.026866170644402547;
    even = even * square - 0.37612638903183715;
    double odd = 1.1463776459938391e-08;
    odd = odd * square + 1.6430388859646139e-06;
    odd = odd * square + 0.00012055288779024883;
    odd = odd * square + 0.0052239776151230379;
    odd = odd * square + 0.11283791670952481;
    double p = even + odd * z;
    p = p * z + 0.12837916709551259;
    return p;
}

/* (u + a) exp(u^2 / 2) Phi(-u), t = (u - a) / (u + a), a = 4.0; relative error.
 * -0.77778 <= t <= 0.81395, max error 2^-53.8. */
static inline double vm_mills_polynomial_f64(double t) {
    const double square = t * t;
    double even = -2.4664179603341858e-09;
    even = even * square + 2.2950370092395584e-08;
    even = even * square - 1.6613499120270482e-07;
    even = even * square + 1.0292618669444383e-06;
    even = even * square - 5.9235289386188794e-06;
    even = even * square + 3.5145621613346235e-05;
    even = even * square - 0.0002310950997931543;
    even = even * square + 0.0016308184750474255;
    even = even * square - 0.0075401889677441424;
    even = even * square - 0.18652185795963014;
    double odd = 1.1393620747360642e-08;
    odd = odd * square - 7.3847225739411901e-08;
    odd = odd * square + 2.6264594954746144e-07;
    odd = odd * square - 6.2520580523711623e-07;
    odd = odd * square + 7.1525738853532881e-07;
    odd = odd * square - 1.907975992880943e-06;
    odd = odd * square + 0.00013334427731902083;
    odd = odd * square - 0.0034796923648706254;
    odd = odd * square + 0.060396574890844462;
    double p = even + odd * t;
    p = p * t + 0.38713740074221581;
    p = p * t - 0.6078966419718923;
    p = p * t + 0.75528513041575152;
    return p;
}

#define T double
#define SUFFIX f64
#define VM_UINT uint64_t
#define VM_ABS __builtin_fabs
#define VM_COPYSIGN __builtin_copysign

/* The format: bits of the mantissa, bias of the exponent, ulp of 1, smallest normal number. */
#define VM_MANTISSA 52
#define VM_BIAS 1023
#define VM_EPSILON 0x1p-52
#define VM_MIN_NORMAL 0x1p-1022
#define VM_ROUND 0x1.8p52 /* x + VM_ROUND has an ulp of 1 */
#define VM_UPPER_HALF UINT64_C(0xfffffffff8000000) /* leaves a number whose square is exact */
#define VM_SQRT_HALF_BITS UINT64_C(0x3fe6a09e667f3bcd) /* bits of sqrt(1/2) */
#define VM_SQRT_HALF_TO_ONE (UINT64_C(0x3ff0000000000000) - VM_SQRT_HALF_BITS)

/* ln 2 in two parts: the first has 32 bits and n has at most 11, so that their product is exact. */
#define VM_LN2_HI 0x1.62e42feep-1
#define VM_LN2_LO 1.9082149292705877e-10
#define VM_LOG2E 1.4426950408889634
#define VM_SQRT2 1.4142135623730951
#define VM_SQRT_HALF 0.70710678118654757

/* exp is infinite above VM_EXP_MAX and 0 below VM_EXP_MIN, tanh is 1 above VM_TANH_MAX. */
#define VM_EXP_MAX 710.0
#define VM_EXP_MIN -750.0
#define VM_TANH_MAX 22.0
#define VM_LIFT 60 /* 2^VM_LIFT exp(VM_EXP_MIN) is a normal number */
#define VM_MILLS 4.0 /* the a of Mills' ratio */

/* Where the functions change from one formula to the other. Of VM_TANH_SMALL twice must be below
 * ln(2) / 2; VM_ERF_SMALL is where the erf polynomial's interval ends, VM_CDF_SMALL where that of
 * Mills' ratio begins. */
#define VM_TANH_SMALL 0.173
#define VM_SIGMOID_SMALL -1.0
#define VM_ERF_SMALL 0.75
#define VM_CDF_SMALL 0.5

#include "vmath_schemes.inc"

#endif
