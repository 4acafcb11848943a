from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from cnet._core.arena import Arena
from cnet._core.sources import PerColumn, Source

class Network(Arena):
    def __new__(
        cls,
        dtype: str,
        widths: Sequence[int],
        operations: Sequence[dict[str, Any]],
        size: int,
        penalties: Sequence[tuple[int, int, float, float]] = (),
        seed: int = 0,
        buffer_size: int = 0,
        single_slots: Collection[int] = (),
        shared_slopes: Mapping[int, int] | None = None,
    ) -> Network: ...
    @property
    def seed(self) -> int: ...
    @seed.setter
    def seed(self, seed: int) -> None: ...
    @property
    def op_count(self) -> int: ...
    @property
    def widths(self) -> tuple[int, ...]: ...
    @property
    def inputs(self) -> int: ...
    @property
    def outputs(self) -> int: ...
    @property
    def single_slots(self) -> frozenset[int]: ...
    @property
    def needs_whole_batch(self) -> bool: ...
    @property
    def tape_rows(self) -> int: ...
    @property
    def tape_training(self) -> bool: ...
    @property
    def input_scaling(self) -> PerColumn | None: ...
    @property
    def output_scaling(self) -> PerColumn | None: ...
    def normalize(
        self,
        inputs: PerColumn | None = None,
        outputs: PerColumn | None = None,
        refusal: Callable[[], Exception] | None = None,
    ) -> None: ...
    def check_categories(self, x: Source, what: str = "x") -> None: ...
    def predict(
        self,
        x: NDArray[Any],
        out: NDArray[Any] | None = None,
        scale: float = 1.0,
        threads: int = 1,
    ) -> NDArray[Any]: ...
    def forward(
        self, x: Source, threads: int = 1, training: bool = False, step: int = 0
    ) -> NDArray[Any]: ...
    def backward(self, dy: Source, threads: int = 1) -> NDArray[Any]: ...
