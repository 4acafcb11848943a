from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

_Real = TypeVar("_Real", np.float32, np.float64)

def dense_forward(
    x: NDArray[_Real],
    w: NDArray[_Real],
    b: NDArray[_Real] | None,
    out: NDArray[_Real],
    activation: str = "linear",
    alpha: float = 0.0,
    z: NDArray[_Real] | None = None,
) -> None: ...
def dense_backward(
    x: NDArray[_Real],
    w: NDArray[_Real],
    z: NDArray[_Real],
    y: NDArray[_Real],
    dy: NDArray[_Real],
    dw: NDArray[_Real],
    db: NDArray[_Real] | None = None,
    dx: NDArray[_Real] | None = None,
    activation: str = "linear",
    alpha: float = 0.0,
    fresh: bool = False,
) -> None: ...
