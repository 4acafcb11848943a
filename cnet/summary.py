"""The table that `Sequential.summary` prints."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cnet.assembled import Assembled


def summary_table(net: Assembled) -> str:
    """Return a line per layer with output shape, parameters and their memory, then the totals.

    Raises
    ------
    NotBuiltError
        Before `build`.
    """
    built = net.built
    size = built.core.itemsize
    lines = [("layer", "activation", "output", "parameters", "memory")]
    lines.append(("input", "", _shape(built.shape), "", ""))
    for row in built.program.rows:
        count = sum(p.size for p in row.parameters)
        activation = "" if row.activation is None else str(row.activation)
        memory = memory_text(count * size) if count else ""
        shape = _shape(row.output_shape)
        # A block's own line and those of its branches and merge have nothing of their own.
        kind, number = f" ({row.kind})" if row.kind else "", f"{count:,}"
        if not (row.kind and row.output_shape):
            number = ""
        name = row.prefix + row.name.rpartition(".")[2] + kind
        lines.append((name, activation, shape, number, memory))
    widths = [max(len(line[column]) for line in lines) for column in range(5)]
    table = [
        "  ".join(
            cell.rjust(width) if column > 2 else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    rule = "-" * max(map(len, table))
    total = sum(p.size for p in built.program.parameters)
    widths_of_rows = [
        width
        for slot, width in enumerate(built.program.widths)
        if slot not in built.program.single_slots
    ]
    per_row = sum(widths_of_rows) * size
    foot = (
        f"{total:,} parameters in {net.dtype}: {memory_text(total * size)}, as much again for "
        f"gradients; {memory_text(per_row)} of activations per row of a batch"
    )
    if built.buffers:
        count = sum(values.size for values in built.buffers.values())
        foot += f"\n{count:,} moving means and variances: {memory_text(count * size)}"
    return "\n".join([table[0], rule, *table[1:], rule, foot])


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def memory_text(count: float) -> str:
    """Return so many bytes in words: "1.2 MB"."""
    if count < 1000:
        return f"{count:.0f} B"
    power = min(int(math.log10(count) // 3), 4)
    return f"{count / 1000**power:.3g} {['B', 'kB', 'MB', 'GB', 'TB'][power]}"
