from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

_Real = TypeVar("_Real", np.float32, np.float64)

def update(
    name: str,
    settings: NDArray[np.float64],
    running: NDArray[np.float64],
    gradient: NDArray[_Real],
    parameter: NDArray[_Real],
    states: NDArray[_Real] | None = None,
) -> None: ...
