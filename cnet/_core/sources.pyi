from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

class PerColumn:
    shift: NDArray[np.float64]
    factor: NDArray[np.float64]
    columns: int
    def __new__(cls, shift: ArrayLike, factor: ArrayLike) -> PerColumn: ...

class Source:
    def __new__(
        cls, array: NDArray[Any], scale: float = 1.0, scaling: PerColumn | None = None
    ) -> Source: ...
    def normalize(self, scaling: PerColumn) -> None: ...
    @property
    def shape(self) -> tuple[int, int]: ...
    def first_nonfinite(self) -> tuple[int, int] | None: ...
