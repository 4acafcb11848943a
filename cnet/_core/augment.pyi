from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from cnet._core.sources import Source

class Augmenter:
    def __new__(
        cls,
        dtype: str,
        columns: int,
        image: tuple[int, int, int] | None,
        stages: Sequence[dict[str, Any]],
        threads: int = 1,
    ) -> Augmenter: ...
    @property
    def mixes(self) -> bool: ...
    @property
    def nbytes(self) -> int: ...
    def rows(
        self, x: Source, targets: Source | None = None, seed: int = 0, step: int = 0
    ) -> tuple[NDArray[Any], NDArray[Any] | None]: ...
