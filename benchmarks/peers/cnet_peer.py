"""cnet, trained through its own ``fit``."""

from __future__ import annotations

from cnet import SGD, Adam, Dense, Sequential, __version__, info, set_threads

from ..workloads import LEARNING_RATE, Prediction, Training, prediction_data, training_data
from . import ONE_THREAD, Run, repeat, repeat_block

NAME = "cnet"
VERSION = f"{__version__}, {info()['isa']}"
MEASURED = (
    "Training: `fit` itself on a data set in memory, shuffled, the loss tracked (time of the "
    "whole call divided by its steps). Prediction: `predict`, NumPy arrays in and out."
)
TRAINING = ("fit", "fit" + ONE_THREAD)
PREDICTION = ("predict", "predict" + ONE_THREAD)
NEEDS_COMPILER: tuple[str, ...] = ()
SWEEPS = ("fit", "predict")


def _network(sizes: tuple[int, ...], output_activation: str) -> Sequential:
    hidden = [Dense(units, "relu") for units in sizes[1:-1]]
    network = Sequential([*hidden, Dense(sizes[-1], output_activation)], seed=1)
    network.build(sizes[0])
    return network


def _held_to(threads: int, mode: str, run: Run) -> Run:
    """Set the threads before each burst: they are the same for all networks of a process."""
    wanted = 1 if mode.endswith(ONE_THREAD) else threads

    def with_threads(steps: int) -> int:
        set_threads(wanted)
        return run(steps)

    return with_threads


def network_for(workload: Training) -> Sequential:
    """Make the network of a workload, ready to be trained."""
    squared = workload.loss == "mse"
    network = _network(workload.sizes, "linear" if squared else "softmax")
    family = SGD if workload.optimizer == "sgd" else Adam
    network.compile(
        optimizer=family(learning_rate=LEARNING_RATE),
        loss="mse" if squared else "sparse_categorical_crossentropy",
    )
    return network


def train(workload: Training, mode: str, threads: int) -> Run:
    """Prepare a training run; see `Peer`."""
    x, y = training_data(workload, workload.batches)
    network = network_for(workload)

    def epochs(count: int) -> None:
        network.fit(x, y, epochs=count, batch_size=workload.batch, shuffle=True, verbose=0)

    return _held_to(threads, mode, repeat_block(epochs, workload.batches))


def infer(workload: Prediction, mode: str, threads: int) -> Run:
    """Prepare a prediction; see `Peer`."""
    network, x = _network(workload.sizes, "linear"), prediction_data(workload)
    return _held_to(threads, mode, repeat(lambda: network.predict(x)))
