from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cnet._core.network import Network
from cnet._core.sources import Source

def mean_of_batches(
    network: Network,
    x: Source,
    order: NDArray[np.int64] | None,
    batch_size: int,
    places: Sequence[tuple[int, int, int, int]],
    step: int = 0,
    threads: int = 1,
) -> NDArray[np.float64]: ...
