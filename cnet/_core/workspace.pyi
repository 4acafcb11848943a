from typing import Any

from numpy.typing import DTypeLike, NDArray

class Workspace:
    def __new__(
        cls,
        widths: tuple[int, ...],
        single: frozenset[int],
        itemsize: int,
        capacity: int,
        training: bool,
        shared: dict[int, int],
        spare: int,
    ) -> Workspace: ...
    @property
    def capacity(self) -> int: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def values(self) -> int: ...
    @property
    def slopes(self) -> int: ...
    @property
    def first_row(self) -> int: ...
    def copy(self, slot: int, dtype: DTypeLike, slopes: bool = False) -> NDArray[Any]: ...
