from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

_Real = TypeVar("_Real", np.float32, np.float64)

def value_and_gradient(
    name: str,
    y: NDArray[_Real],
    target: NDArray[_Real],
    dy: NDArray[_Real] | None = None,
    weight: NDArray[_Real] | None = None,
    scale: float = 1.0,
    parameter: float = 0.0,
    smoothing: float = 0.0,
) -> float: ...
def labels_value_and_gradient(
    name: str,
    y: NDArray[_Real],
    target: NDArray[np.int64],
    dy: NDArray[_Real] | None = None,
    weight: NDArray[_Real] | None = None,
    scale: float = 1.0,
    smoothing: float = 0.0,
) -> float: ...
