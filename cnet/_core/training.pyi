from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnet._core.augment import Augmenter
from cnet._core.guard import Guard
from cnet._core.network import Network
from cnet._core.rules import Rule
from cnet._core.sources import Source
from cnet._core.workspace import Workspace

class Batches:
    def __new__(
        cls,
        network: Network,
        x: Source,
        targets: Source | NDArray[np.int64],
        weights: Source | None,
        batch_size: int,
        loss: str,
        parameter: float,
        smoothing: float,
        mean_over_columns: bool,
        merged: bool,
        metrics: Sequence[str] = (),
        rule: Rule | None = None,
        threads: int = 1,
        augmenter: Augmenter | None = None,
        own_loss: Any = None,
        piece_rows: int = 0,
        outputs: NDArray[Any] | None = None,
    ) -> Batches: ...
    @property
    def rows(self) -> int: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def piece_rows(self) -> int: ...
    @property
    def position(self) -> int: ...
    @property
    def steps(self) -> int: ...
    @property
    def rows_done(self) -> int: ...
    @property
    def loss_sum(self) -> float: ...
    @property
    def norm_sum(self) -> float: ...
    @property
    def last_loss(self) -> float: ...
    @property
    def metric_sums(self) -> NDArray[np.float64]: ...
    @property
    def nbytes(self) -> int: ...
    def bind(
        self,
        x: Source,
        targets: Source | NDArray[np.int64],
        weights: Source | None,
        batch_size: int = 0,
        outputs: NDArray[Any] | None = None,
    ) -> None: ...
    @property
    def threads(self) -> int: ...
    @threads.setter
    def threads(self, threads: int) -> None: ...
    def begin(self, order: NDArray[np.int64] | None = None) -> None: ...
    def reset_sums(self) -> None: ...
    def go_on(
        self,
        position: int,
        steps: int,
        rows_done: int,
        loss_sum: float,
        norm_sum: float,
        last_loss: float,
        metric_sums: Any,
    ) -> None: ...
    def run(self, batches: int, rates: NDArray[np.float64] | None = None) -> bool: ...
    @property
    def work(self) -> Workspace: ...
    @property
    def guard(self) -> Guard: ...
    @property
    def order(self) -> NDArray[np.int64] | None: ...
