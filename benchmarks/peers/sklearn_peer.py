"""scikit-learn: the multi-layer perceptron, trained through its own ``fit``."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import sklearn
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor

from ..workloads import LEARNING_RATE, Prediction, Training, prediction_data, training_data
from . import Run, repeat, repeat_block

NAME = "scikit-learn"
VERSION = sklearn.__version__
MEASURED = (
    "Training: `fit` itself on a data set in memory, shuffled, the loss tracked, continued with "
    "`warm_start` (time of the whole call divided by its steps). Prediction: `predict_proba`, "
    "arrays in and out, with its softmax."
)
TRAINING = ("fit",)
PREDICTION = ("predict",)
NEEDS_COMPILER: tuple[str, ...] = ()
SWEEPS: tuple[str, ...] = ()

NEVER = 1_000_000_000  # epochs without improvement before it would stop of itself


def train(workload: Training, mode: str, threads: int) -> Run:
    """Prepare a training run; see `Peer`."""
    x, y = training_data(workload, workload.batches)
    family = MLPRegressor if workload.loss == "mse" else MLPClassifier
    model: Any = family(
        hidden_layer_sizes=workload.sizes[1:-1],
        solver=workload.optimizer,
        alpha=0.0,
        batch_size=workload.batch,
        learning_rate_init=LEARNING_RATE,
        momentum=0.0,
        shuffle=True,
        random_state=0,
        n_iter_no_change=NEVER,
        warm_start=True,
    )
    targets = y.ravel() if workload.loss == "mse" else y

    def epochs(count: int) -> None:
        model.set_params(max_iter=count)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the epochs are few on purpose
            model.fit(x, targets)

    return repeat_block(epochs, workload.batches)


def infer(workload: Prediction, mode: str, threads: int) -> Run:
    """Prepare a prediction; see `Peer`."""
    outputs = workload.sizes[-1]
    generator = np.random.default_rng(0)
    some = generator.standard_normal((8 * outputs, workload.sizes[0]), dtype=np.float32)
    model = MLPClassifier(hidden_layer_sizes=workload.sizes[1:-1], max_iter=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(some, np.arange(len(some)) % outputs)
    x = prediction_data(workload)
    return repeat(lambda: model.predict_proba(x))
