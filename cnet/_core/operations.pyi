from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

class Operations:
    def __new__(
        cls,
        operations: Sequence[dict[str, Any]],
        widths: tuple[int, ...],
        itemsize: int,
        parameters: NDArray[Any],
        gradients: NDArray[Any],
    ) -> Operations: ...
    @property
    def count(self) -> int: ...
    @property
    def needs_whole_batch(self) -> bool: ...
    @property
    def spare_width(self) -> int: ...
    @property
    def foreign(self) -> list[Any]: ...
