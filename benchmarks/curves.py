"""Curves on logarithmic axes as an SVG file, which is text: it can be read, compared and kept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

import numpy as np
import numpy.typing as npt

COLOURS = ("#0072b2", "#d55e00", "#56b4e9", "#e69f00", "#009e73", "#cc79a7")
WIDTH, HEIGHT, LEFT, TOP, GAP, FOOT = 380, 260, 70, 34, 70, 46


@dataclass(frozen=True)
class Panel:
    """A title, and curves: the name of each and its positive values at 1, 2, 3, ..."""

    title: str
    curves: Sequence[tuple[str, npt.NDArray[np.float64]]]


def svg(panels: Sequence[Panel], x_label: str, y_label: str) -> str:
    """Draw panels side by side, with one vertical scale and one legend.

    Parameters
    ----------
    panels : sequence of Panel
        All with the same curves, in the same order.
    x_label, y_label : str

    Returns
    -------
    str
        The file's contents.
    """
    values = np.concatenate([values for panel in panels for _, values in panel.curves])
    low, high = math.log10(values.min()), math.log10(values.max())
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100) if (high - low) / step <= 9)
    powers = (math.floor(low / step) * step, math.ceil(high / step) * step)
    longest = max(len(values) for panel in panels for _, values in panel.curves)
    names = [name for name, _ in panels[0].curves]
    width = LEFT + len(panels) * (WIDTH + GAP)
    height = TOP + HEIGHT + FOOT + 20 * len(names)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="13">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]

    def x_of(layer: float) -> float:
        return (layer - 1) / max(longest - 1, 1) * WIDTH

    def y_of(value: float) -> float:
        return (powers[1] - math.log10(value)) / (powers[1] - powers[0]) * HEIGHT

    for place, panel in enumerate(panels):
        lines.append(f'<g transform="translate({LEFT + place * (WIDTH + GAP)} {TOP})">')
        lines.append(_text(WIDTH / 2, -12, panel.title, "middle"))
        for power in range(powers[0], powers[1] + 1, step):
            y = y_of(10.0**power)
            lines.append(f'<path d="M0 {y:.1f}H{WIDTH}" stroke="#ddd"/>')
            lines.append(_text(-8, y + 4, f"1e{power}" if power else "1", "end"))
        ticks = (1, *range(10, longest + 1, 10))
        lines += [_text(x_of(layer), HEIGHT + 18, str(layer), "middle") for layer in ticks]
        lines.append(_text(WIDTH / 2, HEIGHT + 36, x_label, "middle"))
        lines.append(
            f'<g transform="translate(-54 {HEIGHT / 2:.0f}) rotate(-90)">'
            f"{_text(0, 0, y_label, 'middle')}</g>"
        )
        lines.append(f'<path d="M0 0V{HEIGHT}H{WIDTH}" fill="none" stroke="black"/>')
        for (_, curve), colour in zip(panel.curves, COLOURS, strict=False):
            points = " ".join(f"{x_of(i):.1f},{y_of(v):.1f}" for i, v in enumerate(curve, 1))
            lines.append(
                f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>'
            )
        lines.append("</g>")
    for row, (name, colour) in enumerate(zip(names, COLOURS, strict=False)):
        y = TOP + HEIGHT + FOOT + 20 * row
        lines.append(f'<path d="M{LEFT} {y}h30" stroke="{colour}" stroke-width="2"/>')
        lines.append(_text(LEFT + 38, y + 4, name, "start"))
    return "\n".join([*lines, "</svg>", ""])


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
