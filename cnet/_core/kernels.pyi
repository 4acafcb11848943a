from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

_Real = TypeVar("_Real", np.float32, np.float64)

ACTIVATIONS: dict[str, tuple[str, float | None]]
LOSSES: dict[str, str]
METRICS: dict[str, str]
OPTIMIZERS: dict[str, int]
LAYERS: tuple[str, ...]
SOURCES: tuple[str, ...]
MATH: tuple[str, ...]
PURPOSES: dict[str, int]

def isa() -> str: ...
def supported_isas() -> list[str]: ...
def find_blas() -> str | None: ...
def use_blas(on: bool) -> None: ...
def blas_version() -> str | None: ...
def vmath(name: str, x: NDArray[_Real]) -> NDArray[_Real]: ...
def gemm(
    a: NDArray[_Real],
    b: NDArray[_Real],
    out: NDArray[_Real],
    bias: NDArray[_Real] | None = None,
    add: bool = False,
) -> None: ...
def random_uniform(seed: int, purpose: str, step: int, n: int) -> NDArray[np.float64]: ...
def random_normal(
    seed: int, purpose: str, step: int, n: int, bound: float = 0.0
) -> NDArray[np.float64]: ...
def random_order(seed: int, purpose: str, step: int, n: int) -> NDArray[np.int64]: ...
