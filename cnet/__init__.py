"""cnet: dense neural networks on a CPU, compiled backpropagation in one small wheel."""

from cnet import activations, datasets, initializers, losses, metrics, optimizers
from cnet.errors import CnetError, FileFormatError, NonFiniteError, NotBuiltError, ShapeError
from cnet.history import History
from cnet.info import info
from cnet.io import load, save
from cnet.layers import Activation, Dense, Flatten
from cnet.model import Sequential
from cnet.optimizers import (
    SGD,
    AdaDelta,
    AdaGrad,
    Adam,
    Adamax,
    AdamW,
    AMSGrad,
    Lion,
    Nadam,
    RMSprop,
)
from cnet.threads import get_threads, set_threads
from cnet.version import __version__

__all__ = [
    "SGD",
    "AMSGrad",
    "Activation",
    "AdaDelta",
    "AdaGrad",
    "Adam",
    "AdamW",
    "Adamax",
    "CnetError",
    "Dense",
    "FileFormatError",
    "Flatten",
    "History",
    "Lion",
    "Nadam",
    "NonFiniteError",
    "NotBuiltError",
    "RMSprop",
    "Sequential",
    "ShapeError",
    "__version__",
    "activations",
    "datasets",
    "get_threads",
    "info",
    "initializers",
    "load",
    "losses",
    "metrics",
    "optimizers",
    "save",
    "set_threads",
]
