"""Images a second that the augmentations give on one core: `python -m benchmarks.augmentation`."""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence

import numpy as np

from cnet import augment

from . import report, system

IMAGES, SIZE = 4096, 28
KINDS: dict[str, Sequence[augment.Augmentation]] = {
    "nothing (gathered and scaled)": [],
    "flip": [augment.RandomFlip()],
    "crop": [augment.RandomCrop(2)],
    "affine": [augment.RandomAffine(10, 2, 0.1, 5)],
    "affine, mirrored border": [augment.RandomAffine(10, 2, 0.1, 5, fill="reflect")],
    "flip, crop and affine": [
        augment.RandomFlip(),
        augment.RandomCrop(2),
        augment.RandomAffine(10, 0.1, 0.1),
    ],
    "elastic": [augment.Elastic(34.0, 4.0)],
    "erasing": [augment.RandomErasing(probability=1.0)],
    "brightness": [augment.Brightness(0.1)],
    "contrast": [augment.Contrast(0.1)],
    "noise": [augment.Noise(0.1)],
    "swapped features, a tenth": [augment.SwapFeatures(0.1)],
    "mixup": [augment.Mixup()],
    "cutmix": [augment.CutMix()],
}


def rate(kinds: Sequence[augment.Augmentation], dtype: str, rounds: int) -> float:
    """Return thousands of images per second of the processor's time, the median of some rounds."""
    x = np.random.default_rng(0).integers(0, 256, (IMAGES, SIZE, SIZE)).astype(np.uint8)
    found = []
    for seed in range(rounds):
        began = time.thread_time()
        augment.preview(x, kinds, seed=seed, scale=1 / 255, dtype=dtype)
        found.append(IMAGES / (time.thread_time() - began) / 1000)
    return statistics.median(found)


def main(arguments: list[str] | None = None) -> int:
    """Measure, and print tables in Markdown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.augmentation", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args(arguments).rounds
    rows = [
        [name, *(f"{rate(kinds, dtype, rounds):,.0f}" for dtype in ("float32", "float64"))]
        for name, kinds in KINDS.items()
    ]
    machine = system.describe_machine(1)
    print("\n".join(report.table(["machine", ""], [[k, v] for k, v in machine.items()], 2)))
    print(f"\nuint8 images of {SIZE} x {SIZE}, {rounds} rounds of {IMAGES:,}.\n")
    heads = ["thousand images per second and core", "float32", "float64"]
    print("\n".join(report.table(heads, rows, 1)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
