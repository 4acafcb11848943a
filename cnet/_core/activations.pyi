from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

_Real = TypeVar("_Real", np.float32, np.float64)

def forward(name: str, x: NDArray[_Real], y: NDArray[_Real], alpha: float = 0.0) -> None: ...
def backward(
    name: str,
    x: NDArray[_Real],
    y: NDArray[_Real],
    dy: NDArray[_Real],
    dx: NDArray[_Real],
    alpha: float = 0.0,
) -> None: ...
