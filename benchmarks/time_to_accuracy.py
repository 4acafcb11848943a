"""Time to accuracy: seconds of training until Fashion-MNIST's test accuracy reaches a goal.

``python -m benchmarks.time_to_accuracy`` lets cnet, PyTorch and scikit-learn train the same
architecture with the same optimizer, each by its own best loop over the batches. It takes about
ten minutes and needs the data set's files: see `cnet.datasets.load_fashion_mnist`.
"""

from __future__ import annotations

import argparse
import datetime
import gc
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import chain, pairwise
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import system
from .harness import ROOT, SETTLING, Worker, WorkerError
from .report import factor, table
from .worker import hold_to

HIDDEN = (256, 128)  # units, all relu
CLASSES = 10
BATCH = 128
LEARNING_RATE = 1e-3  # Adam's, with the decays 0.9 and 0.999 and an epsilon of 1e-8
GOALS = (0.87, 0.88, 0.89)  # shares of the test images; the last one ends a run
BASELINE = "cnet"


class Data(NamedTuple):
    """Pixels 0 to 255 as (N, 784) uint8, and classes as (N,) int64."""

    x: NDArray[np.uint8]
    y: NDArray[np.int64]
    test_x: NDArray[np.uint8]
    test_y: NDArray[np.int64]


class Learner(NamedTuple):
    """A network that is ready to be trained."""

    version: str
    threads: int
    measured: str  # a sentence for the report
    epoch: Callable[[], object]  # trains one
    classify: Callable[[], NDArray[np.int64]]  # returns the classes that it gives the test images


def unit(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Scale pixels to 0..1, in float32."""
    return np.divide(pixels, 255, dtype=np.float32)


def learn_cnet(data: Data, seed: int, threads: int) -> Learner:
    """Prepare cnet: `fit` on the bytes themselves, scaled while a batch is gathered."""
    import cnet

    cnet.set_threads(threads)
    hidden = [cnet.Dense(units, "relu") for units in HIDDEN]
    net = cnet.Sequential([*hidden, cnet.Dense(CLASSES, "softmax")], seed=seed, scale=1 / 255)
    net.build(data.x.shape[1])
    net.compile(cnet.Adam(learning_rate=LEARNING_RATE), "sparse_categorical_crossentropy")
    found = cnet.info()
    return Learner(
        f"{found['cnet']}, {found['isa']}",
        found["threads"],
        "`fit` with one epoch a call (it continues: the same run as one call), on the pixels as "
        "bytes, divided by 255 while a batch is gathered; it also tracks the training loss.",
        lambda: net.fit(data.x, data.y, epochs=1, batch_size=BATCH, verbose=0),
        lambda: net.predict_classes(data.test_x),
    )


def learn_torch(data: Data, seed: int, threads: int) -> Learner:
    """Prepare PyTorch: rows picked from one tensor by a permutation, and the fused Adam."""
    import torch
    from torch import nn

    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    x, test_x = (torch.from_numpy(unit(pixels)) for pixels in (data.x, data.test_x))
    y = torch.from_numpy(data.y)
    widths = (data.x.shape[1], *HIDDEN)
    hidden = [[nn.Linear(*pair), nn.ReLU()] for pair in pairwise(widths)]
    net = nn.Sequential(*chain(*hidden), nn.Linear(widths[-1], CLASSES))
    loss = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(net.parameters(), lr=LEARNING_RATE, fused=True)

    def epoch() -> None:
        for rows in torch.randperm(len(x)).split(BATCH):
            optimizer.zero_grad(set_to_none=True)
            loss(net(x.index_select(0, rows)), y.index_select(0, rows)).backward()
            optimizer.step()

    return Learner(
        str(torch.__version__),
        torch.get_num_threads(),
        "a plain loop without a data loader: a permutation per epoch, `index_select` from one "
        "tensor per batch, `Adam(fused=True)`; the training loss is not read.",
        epoch,
        torch.inference_mode()(lambda: net(test_x).argmax(1).numpy()),
    )


def learn_sklearn(data: Data, seed: int, threads: int) -> Learner:
    """Prepare scikit-learn: `partial_fit`, one epoch a call.

    `fit` with ``warm_start`` would start Adam afresh in each call. A generator is passed because
    a number would seed each call alike: the same order of the rows in every epoch.
    """
    import sklearn
    from sklearn.neural_network import MLPClassifier

    x, test_x = unit(data.x), unit(data.test_x)
    model = MLPClassifier(
        hidden_layer_sizes=HIDDEN,
        alpha=0.0,
        batch_size=BATCH,
        learning_rate_init=LEARNING_RATE,
        random_state=np.random.RandomState(seed),
    )
    classes = np.arange(CLASSES)
    return Learner(
        sklearn.__version__,
        threads,
        "`MLPClassifier.partial_fit`, an epoch a call, `alpha=0`; it tracks the training loss too.",
        lambda: model.partial_fit(x, data.y, classes=classes),
        lambda: model.predict(test_x),
    )


CONTESTANTS = {"cnet": learn_cnet, "PyTorch": learn_torch, "scikit-learn": learn_sklearn}


def serve() -> None:
    """Run as a `Runner`'s process: introduce the contestant, then train an epoch per request."""
    peer, seed, threads, cpus, path = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started this
    sys.path.append(sys.path.pop(0))  # an installed cnet comes before the source tree
    if cpus:
        hold_to({int(cpu) for cpu in cpus.split(",")})
    # Whatever a library prints goes to the terminal; the pipe is for the answers alone.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def answer(**message: Any) -> None:
        print(json.dumps(message), file=answers, flush=True)

    with np.load(path) as stored:
        data = Data(*(stored[name] for name in Data._fields))
    try:
        learner = CONTESTANTS[peer](data, int(seed), int(threads))
    except ImportError as error:
        answer(error=f"not installed ({error.msg})")
        return
    gc.collect()
    gc.freeze()  # the modules of a library, however many, do not slow its training down
    answer(version=learner.version, threads=learner.threads, measured=learner.measured)
    for _ in sys.stdin:
        begin = time.perf_counter()
        learner.epoch()
        trained = time.perf_counter()
        classes = learner.classify()
        evaluation = time.perf_counter() - trained
        accuracy = float((classes == data.test_y).mean())
        answer(seconds=trained - begin, evaluation=evaluation, accuracy=accuracy)


class Runner(Worker):
    """The process of one contestant with one seed, and the pipes to it."""

    def __init__(self, peer: str, seed: int, threads: int, path: Path) -> None:
        self.peer = peer
        cpus = ",".join(map(str, system.choose_cpus(threads)))
        code = "from benchmarks.time_to_accuracy import serve; serve()"
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, peer, str(seed), str(threads), cpus, str(path)],
            cwd=ROOT,
            env=system.worker_environment(os.environ, threads),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )


@dataclass
class Course:
    """How one contestant fared with one seed: a value per epoch."""

    seed: int
    seconds: list[float] = field(default_factory=list)
    evaluations: list[float] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)

    def until(self, goal: float) -> tuple[float, float]:
        """Return seconds and epochs until the accuracy first was at least `goal`, or infinity."""
        for epochs, accuracy in enumerate(self.accuracies, 1):
            if accuracy >= goal:
                return sum(self.seconds[:epochs]), epochs
        return math.inf, math.inf


@dataclass
class Results:
    """The courses by contestant, what each said of itself, and what went wrong."""

    courses: dict[str, list[Course]] = field(default_factory=dict)
    introductions: dict[str, dict[str, Any]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


def race(seed: int, threads: int, epochs: int, path: Path, results: Results) -> None:
    """Let all contestants train by turns, an epoch each, until they have reached the last goal."""

    def heard(runner: Worker, ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        try:
            return ask()
        except WorkerError as error:
            results.failures.append(f"{runner.peer}, seed {seed}: {error}")
            return {}

    with ExitStack() as stack:
        # All are started before the first is waited for: imports take seconds.
        runners = [stack.enter_context(Runner(peer, seed, threads, path)) for peer in CONTESTANTS]
        still: dict[Worker, Course] = {}
        for runner in runners:
            if hello := heard(runner, runner.receive):
                results.introductions[runner.peer] = hello
                still[runner] = Course(seed)
                results.courses.setdefault(runner.peer, []).append(still[runner])
        for turn in range(epochs):
            # Back and forth, so that nobody always comes after the same one.
            for runner, course in list(still.items())[:: -1 if turn % 2 else 1]:
                if threads > 1:
                    time.sleep(SETTLING)
                if told := heard(runner, runner.ask):
                    course.seconds.append(told["seconds"])
                    course.evaluations.append(told["evaluation"])
                    course.accuracies.append(told["accuracy"])
                if not told or told["accuracy"] >= GOALS[-1]:
                    del still[runner]


def number(value: float, pattern: str) -> str:
    """Write a number, or that there is none because the goal was not reached."""
    return format(value, pattern) if math.isfinite(value) else "not reached"


def compared(seconds: Sequence[float], baseline: Sequence[float], pattern: str) -> list[str]:
    """Write the median of some times, their spread, and the median's ratio to the baseline's."""
    middle, least, most = median(seconds), min(seconds), max(seconds)
    ratio = middle / median(baseline) if baseline and math.isfinite(median(baseline)) else math.inf
    spread = f"{least:{pattern}} to {number(most, pattern)}" if math.isfinite(least) else ""
    return [number(middle, pattern), spread, factor(ratio) if math.isfinite(ratio) else ""]


def goals(results: Results) -> list[str]:
    """Write the table of the times to each goal."""
    rows = []
    for goal in GOALS:
        until = {peer: [c.until(goal) for c in of] for peer, of in results.courses.items()}
        ours = [seconds for seconds, _ in until.get(BASELINE, ())]
        for peer, pairs in until.items():
            times = [seconds for seconds, _ in pairs]
            epochs = number(median(epochs for _, epochs in pairs), "g")
            reached = f"{sum(map(math.isfinite, times))} of {len(times)}"
            rows.append([f"{goal:.0%}", peer, *compared(times, ours, ".1f"), epochs, reached])
    head = ["goal", "contestant", "seconds, median", "spread", "/ cnet", "epochs, median"]
    return table([*head, "seeds that reached it"], rows, 2)


def per_epoch(results: Results) -> list[str]:
    """Write the table of the epochs alone, and of the evaluations, which count nowhere else."""
    rows = []
    ours = [value for course in results.courses.get(BASELINE, ()) for value in course.seconds]
    for peer, courses in results.courses.items():
        if times := [value for course in courses for value in course.seconds]:
            judged = median(value for course in courses for value in course.evaluations)
            rows.append([peer, str(len(times)), *compared(times, ours, ".2f"), f"{judged:.3f}"])
    head = ["contestant", "epochs", "seconds per epoch, median", "spread", "/ cnet"]
    return table([*head, "evaluation, seconds"], rows)


def render(results: Results, rows: int, machine: Mapping[str, str], command: str) -> str:
    """Write the whole report, as Markdown; `rows` is how many images were trained on."""
    lines = ["# Time to accuracy on Fashion-MNIST", "", f"Written by `{command}`.", ""]
    lines += table(["machine", ""], [[name, value] for name, value in machine.items()], 2)
    said = results.introductions.items()
    versions = [[peer, hello["version"], str(hello["threads"])] for peer, hello in said]
    lines += ["", *table(["contestant", "version", "threads"], versions, 2), ""]
    widths = "-".join(map(str, (784, *HIDDEN, CLASSES)))
    lines += [
        f"{widths}, relu and softmax with the cross-entropy, float32; Adam with a learning rate of "
        f"{LEARNING_RATE:g}, batches of {BATCH}, {rows:,} shuffled images. Seconds of training "
        "until the share of the test images that are recognised, looked at after every epoch, "
        "first is at least the goal.",
        *["", *goals(results), ""],
        "At a constant learning rate the accuracy jumps from epoch to epoch, near the last goal by "
        "more than it rises: when it is first reached is in part chance, and a few seeds do not "
        "average that out. The seconds per epoch do not depend on it:",
        *["", *per_epoch(results), "", "## Test accuracy by epoch", ""],
    ]
    courses = [
        [peer, str(c.seed), f"{sum(c.seconds):.1f}", ", ".join(f"{a:.2%}" for a in c.accuracies)]
        for peer, of in results.courses.items()
        for c in of
    ]
    lines += table(["contestant", "seed", "seconds in all", "by epoch"], courses)
    if results.failures:
        lines += ["", "## What failed", "", *[f"- {line}" for line in results.failures]]
    lines += ["", "## How it is measured", ""]
    lines += [
        "- Each contestant has a process of its own for each seed; they train by turns, an epoch "
        "each. One that has reached the last goal stops.",
        "- Counted: the training of each epoch from the very first call on, shuffling and batches "
        "included. Not counted: imports, reading the data, building network and optimizer, and "
        "the evaluation of the test images. For PyTorch and scikit-learn pixels are turned into "
        "0..1 in float32 beforehand, which is not counted either.",
        "- The first weights are each library's own default. A seed sets them and the order of the "
        "rows, so the same seed means different runs in different libraries.",
        *[f"- {peer}: {hello['measured']}" for peer, hello in said],
    ]
    return "\n".join([*lines, ""])


def store(path: Path, quick: bool) -> int:
    """Write the images for the contestants; return how many there are to train on."""
    from cnet import datasets  # here, so that the processes of the peers do not import it

    (x, y), (test_x, test_y) = datasets.load_fashion_mnist()
    rows, tests = (2_000, 1_000) if quick else (len(x), len(test_x))
    pixels, test_pixels = x[:rows].reshape(rows, -1), test_x[:tests].reshape(tests, -1)
    np.savez(path, **Data(pixels, y[:rows], test_pixels, test_y[:tests])._asdict())
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Hold the contest, print the report, and write it if asked."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.time_to_accuracy",
        description="Seconds until Fashion-MNIST's test accuracy reaches a goal, side by side.",
    )
    parser.add_argument("--seeds", type=int, default=3, help="runs of each contestant (3)")
    parser.add_argument("--epochs", type=int, default=20, help="at most, in each run (20)")
    parser.add_argument("--threads", type=int, default=1, help="of every contestant (1)")
    parser.add_argument("--quick", action="store_true", help="2,000 images, 1 epoch, 1 seed")
    parser.add_argument("--output", type=Path, help="file to write (only printed if not given)")
    given = parser.parse_args(arguments)
    for name in ("seeds", "epochs", "threads"):
        if getattr(given, name) < 1:
            parser.error(f"--{name} is {getattr(given, name)}; it must be at least 1")
    seeds, epochs = (1, 1) if given.quick else (given.seeds, given.epochs)
    machine = {"Date": str(datetime.date.today()), **system.describe_machine(given.threads)}
    results = Results()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "images.npz"
        try:
            rows = store(path, given.quick)
            for seed in range(1, seeds + 1):
                race(seed, given.threads, epochs, path, results)
                print(f"seed {seed} of {seeds}", file=sys.stderr, flush=True)
        except FileNotFoundError as error:
            print(error, file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("broken off; nothing was written", file=sys.stderr)
            return 130
    words = sys.argv[1:] if arguments is None else arguments
    text = render(results, rows, machine, " ".join([parser.prog, *words]))
    print(text)
    if given.output is not None:
        given.output.parent.mkdir(parents=True, exist_ok=True)
        given.output.write_text(text, encoding="utf-8")
    return 0 if any(results.courses.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
