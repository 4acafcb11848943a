from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

_Real = TypeVar("_Real", np.float32, np.float64)

NAMES: tuple[str, ...]

def forward(
    name: str,
    x: NDArray[_Real],
    y: NDArray[_Real],
    setting: float,
    seed: int = 0,
    step: int = 0,
    stream: int = 0,
    first_row: int = 0,
    threads: int = 1,
) -> None: ...
def backward(
    name: str,
    dy: NDArray[_Real],
    dx: NDArray[_Real],
    setting: float,
    seed: int = 0,
    step: int = 0,
    stream: int = 0,
    first_row: int = 0,
    threads: int = 1,
) -> None: ...
