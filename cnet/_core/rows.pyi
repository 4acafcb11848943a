from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnet._core.augment import Augmenter
from cnet._core.network import Network
from cnet._core.sources import Source

class Rows:
    def __new__(
        cls,
        network: Network,
        x: Source,
        targets: Source | NDArray[np.int64],
        weights: Source | None,
        takes_labels: bool,
        columns: int,
        augmenter: Augmenter | None = None,
    ) -> Rows: ...
    @property
    def x(self) -> Source: ...
    @property
    def targets(self) -> Source | None: ...
    @property
    def weights(self) -> Source | None: ...
    @property
    def labels(self) -> NDArray[np.int64] | None: ...
    @property
    def order(self) -> NDArray[Any] | None: ...
    @property
    def count(self) -> int: ...
