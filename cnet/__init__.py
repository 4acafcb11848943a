"""cnet: dense neural networks on a CPU, compiled backpropagation in one small wheel."""

from cnet import (
    activations,
    augment,
    averaging,
    callbacks,
    constraints,
    custom,
    datasets,
    initializers,
    losses,
    metrics,
    normalizers,
    optimizers,
    regularizers,
    schedules,
)
from cnet.averaging import EMA, SWA, Lookahead
from cnet.blocks import Parallel, Residual
from cnet.callbacks import Checkpoint, EarlyStopping
from cnet.columns import Columns, Embedding
from cnet.differences import gradcheck
from cnet.errors import (
    CnetError,
    FileFormatError,
    GradientError,
    NonFiniteError,
    NotBuiltError,
    ShapeError,
)
from cnet.groups import Group
from cnet.history import History
from cnet.info import info
from cnet.io import load, save
from cnet.layers import Activation, Dense, Flatten
from cnet.model import Sequential
from cnet.noise import Dropout, GaussianDropout, GaussianNoise
from cnet.normalizers import MinMax, Robust, Standardize
from cnet.norms import BatchNormalization, LayerNormalization
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
    Rprop,
    ScheduleFreeAdamW,
)
from cnet.range_test import find_learning_rate
from cnet.shards import Shards
from cnet.threads import get_threads, set_threads
from cnet.version import __version__
from cnet.whole import LBFGS, Muon

__all__ = [
    "EMA",
    "LBFGS",
    "SGD",
    "SWA",
    "AMSGrad",
    "Activation",
    "AdaDelta",
    "AdaGrad",
    "Adam",
    "AdamW",
    "Adamax",
    "BatchNormalization",
    "Checkpoint",
    "CnetError",
    "Columns",
    "Dense",
    "Dropout",
    "EarlyStopping",
    "Embedding",
    "FileFormatError",
    "Flatten",
    "GaussianDropout",
    "GaussianNoise",
    "GradientError",
    "Group",
    "History",
    "LayerNormalization",
    "Lion",
    "Lookahead",
    "MinMax",
    "Muon",
    "Nadam",
    "NonFiniteError",
    "NotBuiltError",
    "Parallel",
    "RMSprop",
    "Residual",
    "Robust",
    "Rprop",
    "ScheduleFreeAdamW",
    "Sequential",
    "ShapeError",
    "Shards",
    "Standardize",
    "__version__",
    "activations",
    "augment",
    "averaging",
    "callbacks",
    "constraints",
    "custom",
    "datasets",
    "find_learning_rate",
    "get_threads",
    "gradcheck",
    "info",
    "initializers",
    "load",
    "losses",
    "metrics",
    "normalizers",
    "optimizers",
    "regularizers",
    "save",
    "schedules",
    "set_threads",
]
