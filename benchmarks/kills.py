"""A training run that is killed (SIGKILL) at random moments, and continued each time.

    python -m benchmarks.kills --kills 200

Runs are killed, once or several times each, and continued until they end. Every end must be that of
the run that nobody disturbed, to the bit: parameters, moving statistics, optimizer state, history.
After every kill all checkpoints must be readable. What is trained has whatever keeps a state or
draws numbers: dropout, batch normalisation, a schedule, Adam or momentum, a metric of whole
epochs, validation, early stopping. Every start takes another number of threads.

A process on its way up costs more than the run, so a parent that has imported everything forks one
for each start.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import cnet
from cnet import resuming
from cnet.files import TEMPORARY

EPOCHS = 12
OPTIMIZERS: list[Any] = [
    cnet.Adam(learning_rate=cnet.schedules.Cosine(0.01, 400)),
    cnet.SGD(learning_rate=cnet.schedules.Step(0.05, 3, 0.7, per="epoch"), momentum=0.9),
]


def network(number: int) -> cnet.Sequential:
    """Return the network of a run, whose number is its seed."""
    layers = [
        cnet.Dropout(0.1),
        cnet.Dense(24, "relu"),
        cnet.BatchNormalization(),
        cnet.Dropout(0.25),
        cnet.Dense(4, "softmax"),
    ]
    net = cnet.Sequential(layers, seed=number)
    optimizer = OPTIMIZERS[number % len(OPTIMIZERS)]
    return net.compile(optimizer, "sparse_categorical_crossentropy", ["accuracy", "f1"])


def data() -> tuple[Any, Any]:
    """Return rows of four classes."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1000, 12)).astype(np.float32)
    return x, np.abs(x[:, :4]).argmax(axis=1)


def train(number: int, folder: Path | None, threads: int) -> str:
    """Train, from a folder's newest checkpoint if there is one; return what has come of it."""
    net = network(number)
    callbacks: list[cnet.callbacks.Callback] = [cnet.EarlyStopping("val_loss", patience=4)]
    if folder is not None:
        callbacks.append(cnet.Checkpoint(folder, every=17, epochs=1))
    x, y = data()
    history = net.fit(
        x,
        y,
        epochs=EPOCHS,
        batch_size=32,
        steps_per_epoch=30,
        validation_split=0.2,
        callbacks=callbacks,
        resume=folder,
        threads=threads,
        verbose=0,
    )
    found = hashlib.sha256()
    for values in (net.parameters | net.buffers).values():
        found.update(values.tobytes())
    for flat in net.rule.states:
        for values in net.built.views(flat).values():
            found.update(values.tobytes())
    found.update(net.rule.running.tobytes())
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in history.rows]
    found.update(json.dumps([rows, history.stopped, history.restored_epoch]).encode())
    return found.hexdigest()


def start(number: int, folder: Path, threads: int) -> int:
    """Fork a process that trains and writes down what comes of it; return its id."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        (folder / "result").write_text(train(number, folder / "run", threads))
        status = 0
    except BaseException as error:
        print(f"run {number}: {error!r}", file=sys.stderr, flush=True)
    finally:
        os._exit(status)


def killed(child: int, after: float) -> bool:
    """Kill a process after a time; return whether it was not over before."""
    deadline = time.monotonic() + after
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            if status:
                raise SystemExit(f"a run has failed: wait status {status}")
            return False
        time.sleep(min(0.002, max(0.0, deadline - time.monotonic())))
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and status:
        raise SystemExit(f"a run has failed: wait status {status}")
    return os.WIFSIGNALED(status)


def main(arguments: list[str] | None = None) -> int:
    """Kill and continue until it has been done often enough; return 0 if all ends were right."""
    raw = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    given = parser.parse_args(arguments)
    if not hasattr(os, "fork"):
        parser.error("this needs a system that can fork: Linux, macOS")
    chance = random.Random(given.seed)
    expected: dict[int, tuple[str, float]] = {}
    kills = runs = files = 0
    most = places = torn = 0
    began = time.monotonic()
    work = Path(tempfile.mkdtemp(prefix="cnet-kills-"))
    try:
        while kills < given.kills:
            number = runs % 4
            if number not in expected:
                undisturbed = work / "undisturbed"
                undisturbed.mkdir()
                child, at = start(number, undisturbed, 1), time.monotonic()
                killed(child, 600.0)
                took = time.monotonic() - at
                expected[number] = (train(number, None, 1), took)
                if (undisturbed / "result").read_text() != expected[number][0]:
                    raise SystemExit("checkpoints have changed the bits of a run")
                shutil.rmtree(undisturbed)
            folder = work / f"run-{runs}"
            folder.mkdir()
            digest, took = expected[number]
            again = 0
            while killed(start(number, folder, chance.choice((1, 2))), chance.uniform(0, took)):
                kills, again = kills + 1, again + 1
                there = resuming.numbered(folder / "run") if (folder / "run").exists() else []
                for _, path in there:
                    resuming.read(path)
                files += len(there)
                torn += any((folder / "run").glob(f"{TEMPORARY}*"))
                places += bool(there)
            if (folder / "result").read_text() != digest:
                raise SystemExit(f"run {runs} ends in other bits after {again} kills")
            most, runs = max(most, again), runs + 1
            shutil.rmtree(folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print(
        f"{kills} kills of {runs} runs (up to {most} of one), {places} with a checkpoint to go on "
        f"from, {torn} while one was being written; {files} files read, none of them damaged; "
        f"every run ended in the bits of the undisturbed one; {time.monotonic() - began:.0f} s"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
