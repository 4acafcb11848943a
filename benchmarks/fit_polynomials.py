"""Fit the polynomials of ``csrc/vmath_f32.h`` and ``csrc/vmath_f64.h``.

``python benchmarks/fit_polynomials.py f32`` (or ``f64``) prints the four polynomial functions of
that header as they stand there, each with its interval and the largest error of its *rounded*
coefficients in exact arithmetic. Needs only mpmath, and a few seconds.

The fits are minimax, by Remez's exchange algorithm (E. Ya. Remez, 1934) on a Chebyshev-spaced grid,
of the error relative to the value that the polynomial serves. One ulp is between 2^-24 and 2^-23 of
a float32 value, between 2^-53 and 2^-52 of a float64 value.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

from mpmath import (
    cos,
    erf,
    erfc,
    exp,
    expm1,
    log,
    lu_solve,
    matrix,
    mp,
    mpf,
    nstr,
    pi,
    sqrt,
)

mp.dps = 50

Function = Callable[[mpf], mpf]


class Fit(NamedTuple):
    """One polynomial in ``variable``: ``function`` over ``interval``.

    ``weight`` turns an error of the polynomial into the relative error that counts. The C code
    takes the lowest ``nested`` coefficients by Horner's rule and the higher ones in two interleaved
    sums of even and odd powers, which halves the chain of dependent operations; ``None`` is
    Horner's rule throughout.
    """

    name: str
    formula: str
    variable: str
    function: Function
    weight: Function
    interval: tuple[mpf, mpf]
    degree: int
    nested: int | None


def round_to(value: mpf, dtype: str) -> mpf:
    """Return ``value`` rounded to ``dtype`` ("f32" or "f64")."""
    double = float(value)
    return mpf(struct.unpack("f", struct.pack("f", double))[0] if dtype == "f32" else double)


def evaluate(coefficients: Sequence[mpf], x: mpf) -> mpf:
    """Evaluate a polynomial, lowest power first."""
    total = mpf(0)
    for c in reversed(coefficients):
        total = total * x + c
    return total


def remez(fit: Fit) -> list[mpf]:
    """Return the ``degree + 1`` minimax coefficients, lowest power first."""
    low, high = fit.interval
    size = fit.degree + 2  # the coefficients and the levelled error
    steps = 40 * size + 1  # odd: no point falls on the middle, where a weight may be zero
    grid = [(low + high) / 2 - (high - low) / 2 * cos(pi * i / steps) for i in range(steps + 1)]
    values = [fit.function(x) for x in grid]
    weights = [fit.weight(x) for x in grid]
    # The first guess avoids the ends, where a weight may be zero as well.
    nodes = [int(steps * (2 * i + 1) / (2 * size)) for i in range(size)]
    coefficients: list[mpf] = []
    for _ in range(30):
        system = matrix(size, size)
        right = matrix(size, 1)
        for row, i in enumerate(nodes):
            for power in range(size - 1):
                system[row, power] = grid[i] ** power
            system[row, size - 1] = (-1) ** row / weights[i]
            right[row] = values[i]
        coefficients = list(lu_solve(system, right)[: size - 1])
        errors = [
            w * (v - evaluate(coefficients, x))
            for w, v, x in zip(weights, values, grid, strict=True)
        ]
        extrema: list[int] = []  # the largest error of every run of one sign
        for i, error in enumerate(errors):
            if extrema and error * errors[extrema[-1]] >= 0:
                if abs(error) > abs(errors[extrema[-1]]):
                    extrema[-1] = i
            else:
                extrema.append(i)
        while len(extrema) > size:  # drop the smaller end
            extrema.pop(0 if abs(errors[extrema[0]]) < abs(errors[extrema[-1]]) else -1)
        if len(extrema) < size or extrema == nodes:
            break
        nodes = extrema
    return coefficients


def largest_error(fit: Fit, coefficients: Sequence[mpf], points: int = 1000) -> mpf:
    """Return the largest weighted error over the interval."""
    low, high = fit.interval
    xs = [low + (high - low) * (2 * i + 1) / (2 * points) for i in range(points)]
    return max(abs(fit.weight(x) * (fit.function(x) - evaluate(coefficients, x))) for x in xs)


def mills(t: mpf, a: mpf) -> mpf:
    """Return (u + a) exp(u^2 / 2) Phi(-u) at u = a (1 + t) / (1 - t)."""
    u = a * (1 + t) / (1 - t)
    return (u + a) * exp(u * u / 2) * erfc(u / sqrt(mpf(2))) / 2


def fits(dtype: str) -> list[Fit]:
    """Return what ``dtype`` ("f32" or "f64") needs."""
    single = dtype == "f32"
    half_ln2 = log(mpf(2)) / 2 * mpf("1.001")  # room for the rounding of x / ln 2
    # log(1 + f), sqrt(1/2) <= 1 + f <= sqrt(2), has s = f / (2 + f) in [-largest_s, largest_s].
    largest_s = (sqrt(mpf(2)) - 1) ** 2
    # VM_MILLS. About 4 needs the lowest degree; of the multiples of 1/32, this one for float32 has
    # leading coefficients that lose least by being rounded, which is most of that fit's error.
    a = mpf("2.46875" if single else "4")
    smallest_u, largest_u = mpf("0.5"), mpf(15 if single else 39)
    return [
        Fit(
            "exp",
            "(e^r - 1 - r) / r^2, error relative to e^r - 1",
            "r",
            lambda r: (expm1(r) - r) / (r * r),
            lambda r: r * r / abs(expm1(r)),
            (-half_ln2, half_ln2),
            4 if single else 10,
            None if single else 2,
        ),
        Fit(
            "log",
            "(2 atanh(s) - 2 s) / s^3 with z = s^2, error relative to 2 atanh(s)",
            "z",
            lambda z: (log((1 + sqrt(z)) / (1 - sqrt(z))) / sqrt(z) - 2) / z if z else mpf(2) / 3,
            lambda z: z / 2,
            (mpf(0), largest_s * largest_s),
            2 if single else 6,
            None if single else 1,
        ),
        Fit(
            "erf",
            "erf(x) / x - 1 with z = x^2, error relative to erf(x)",
            "z",
            lambda z: erf(sqrt(z)) / sqrt(z) - 1 if z else 2 / sqrt(pi) - 1,
            lambda z: sqrt(z) / erf(sqrt(z)) if z else sqrt(pi) / 2,
            (mpf(0), mpf("0.5625")),
            5 if single else 10,
            None if single else 1,
        ),
        Fit(
            "mills",
            f"(u + a) exp(u^2 / 2) Phi(-u), t = (u - a) / (u + a), a = {nstr(a)}; relative error",
            "t",
            lambda t: mills(t, a),
            lambda t: 1 / mills(t, a),
            (1 - 2 * a / (smallest_u + a), 1 - 2 * a / (largest_u + a)),
            9 if single else 21,
            3,
        ),
    ]


def c_function(fit: Fit, dtype: str) -> str:
    """Return the polynomial as a C function, under a comment with its interval and error."""
    coefficients = [round_to(c, dtype) for c in remez(fit)]
    error = float(log(largest_error(fit, coefficients), 2))
    real, suffix, digits = ("float", "f", 9) if dtype == "f32" else ("double", "", 17)
    x, nested = fit.variable, fit.nested

    def chain(name: str, by: str, chosen: Sequence[mpf]) -> list[str]:
        lines = [f"    {real} {name} = {float(chosen[-1]):.{digits}g}{suffix};"]
        return lines + steps(name, by, chosen[:-1])

    def steps(name: str, by: str, chosen: Sequence[mpf]) -> list[str]:
        return [
            f"    {name} = {name} * {by} {'-' if c < 0 else '+'} "
            f"{abs(float(c)):.{digits}g}{suffix};"
            for c in reversed(chosen)
        ]

    low, high = (nstr(end, 5) for end in fit.interval)
    lines = [
        f"/* {fit.formula}.",
        f" * {low} <= {x} <= {high}, max error 2^{error:.1f}. */",
        f"static inline {real} vm_{fit.name}_polynomial_{dtype}({real} {x}) {{",
    ]
    if nested is None:
        lines += chain("p", x, coefficients)
    else:
        lines += [f"    const {real} square = {x} * {x};"]
        lines += chain("even", "square", coefficients[nested::2])
        lines += chain("odd", "square", coefficients[nested + 1 :: 2])
        lines += [f"    {real} p = even + odd * {x};", *steps("p", x, coefficients[:nested])]
    return "\n".join([*lines, "    return p;", "}"])


def main(arguments: Sequence[str]) -> int:
    """Print the functions of the dtype that ``arguments`` names."""
    if len(arguments) != 1 or arguments[0] not in ("f32", "f64"):
        print("usage: fit_polynomials.py f32|f64", file=sys.stderr)
        return 2
    print("\n\n".join(c_function(fit, arguments[0]) for fit in fits(arguments[0])))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
