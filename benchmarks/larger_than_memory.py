"""An epoch over a memory-mapped file of any size, and how much memory of its own that takes.

``python -m benchmarks.larger_than_memory --gigabytes 20``. The file is sparse: it takes hardly any
room on the disk, but every page of it is read. What counts is anonymous memory (RssAnon in Linux's
/proc), which the process has for itself; pages of the file belong to the system, which drops them
when it wants to. A process of its own trains, and this one looks at its size all the while.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from .harness import ROOT
from .report import table

COLUMNS, CLASSES, BATCH = 1024, 10, 256
ROW_BYTES = 4 * COLUMNS
WAYS = {
    "rows": "fit(x, y), rows in random order",
    "shards": "fit(Shards.split(x, y)), 65,536 neighbours at a time in random order",
}
INTERVAL = 0.02  # seconds between two looks

CHILD = """
import json, sys, time
sys.path.append(sys.argv.pop(1))
import numpy as np
import cnet

x_path, y_path, rows, columns, classes, batch, way = sys.argv[1:]
rows, columns, classes, batch = int(rows), int(columns), int(classes), int(batch)

def anonymous():
    with open("/proc/self/status") as file:
        return 1024 * int(next(line for line in file if line.startswith("RssAnon")).split()[1])

imported = anonymous()
x = np.memmap(x_path, np.float32, "r", shape=(rows, columns))
y = np.memmap(y_path, np.uint8, "r", shape=(rows,))
layers = [cnet.Dense(32, "relu"), cnet.Dense(classes, "softmax")]
net = cnet.Sequential(layers, seed=1).compile("adam", "sparse_categorical_crossentropy")
data = (x, y) if way == "rows" else (cnet.Shards.split(x, y),)
began = time.perf_counter()
history = net.fit(*data, batch_size=batch, verbose=0)
seconds = time.perf_counter() - began
print(json.dumps({
    "imported": imported, "seconds": seconds, "loss": history["loss"][0],
    "steps": int(net.rule.running[0]),
}))
"""


@dataclass(frozen=True)
class Run:
    """What an epoch took."""

    way: str  # of WAYS
    file: int  # bytes
    rows: int
    steps: int  # batches done
    loss: float  # of the epoch
    seconds: float
    imported: int  # bytes of anonymous memory before the data was opened
    peak: int  # the most that there was at any time


def make(folder: Path, gigabytes: float) -> tuple[Path, Path, int]:
    """Write a sparse file of rows, and the classes of these; return both, and how many rows.

    A row in a thousand has numbers in it, and the file its blocks there.
    """
    import numpy as np

    rows = max(1000, round(gigabytes * 1e9 / ROW_BYTES))
    x, y = folder / "x.f32", folder / "y.u8"
    rng = np.random.default_rng(1)
    with x.open("wb") as file, y.open("wb") as classes:
        file.truncate(rows * ROW_BYTES)
        classes.truncate(rows)
        for row in range(0, rows, 1000):
            values = rng.normal(size=COLUMNS).astype(np.float32)
            file.seek(row * ROW_BYTES)
            file.write(values.tobytes())
            classes.seek(row)
            classes.write(bytes([int(values[:CLASSES].argmax())]))
    return x, y, rows


def anonymous(process: int) -> int:
    """Return the anonymous memory of a process in bytes; 0 if it has ended."""
    try:
        with open(f"/proc/{process}/status") as status:
            sizes = dict(line.split(":", 1) for line in status)
    except OSError:
        return 0
    return 1024 * int(sizes["RssAnon"].split()[0]) if "RssAnon" in sizes else 0


def measure(x: Path, y: Path, rows: int, way: str) -> Run:
    """Train one epoch in a process of its own.

    Raises
    ------
    RuntimeError
        If it fails.
    """
    arguments = [str(value) for value in (x, y, rows, COLUMNS, CLASSES, BATCH, way)]
    with subprocess.Popen(
        [sys.executable, "-P", "-c", CHILD, str(ROOT), *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        peak = 0
        while child.poll() is None:
            peak = max(peak, anonymous(child.pid))
            time.sleep(INTERVAL)
        out, errors = child.communicate()
    if child.returncode:
        raise RuntimeError(f"training failed: {errors.strip()}")
    return Run(way=way, file=rows * ROW_BYTES, rows=rows, peak=peak, **json.loads(out))


def report(runs: list[Run]) -> list[str]:
    """Return the lines of a table."""
    head = ["way", "file", "rows", "seconds", "anonymous memory after import", "at most"]
    body = [
        [
            WAYS[run.way],
            f"{run.file / 1e9:.2f} GB",
            f"{run.rows:,}",
            f"{run.seconds:.1f}",
            f"{run.imported / 1e6:.0f} MB",
            f"{run.peak / 1e6:.0f} MB",
        ]
        for run in runs
    ]
    return table(head, body)


def main() -> int:
    """Measure and print; 1 if a run took more memory than is allowed, or left something out."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.larger_than_memory", description=__doc__
    )
    parser.add_argument("--gigabytes", type=float, default=20.0, help="size of the file")
    parser.add_argument("--way", choices=WAYS, action="append", help="both, unless given")
    parser.add_argument("--folder", type=Path, help="for the file; not one that lies in memory")
    parser.add_argument(
        "--limit", type=float, default=1000.0, metavar="MB", help="more than this is a failure"
    )
    chosen = parser.parse_args()
    if not Path("/proc/self/status").exists():
        parser.error("sizes of processes are read from Linux's /proc")
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        x, y, rows = make(Path(folder), chosen.gigabytes)
        runs = [measure(x, y, rows, way) for way in chosen.way or WAYS]
    print("\n".join(report(runs)))
    whole = all(run.steps >= -(-run.rows // BATCH) and run.loss == run.loss for run in runs)
    return 0 if whole and all(run.peak < 1e6 * chosen.limit for run in runs) else 1


if __name__ == "__main__":
    sys.exit(main())
