from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnet._core.network import Network

class Rule:
    def __new__(
        cls,
        network: Network,
        name: str,
        settings: Sequence[float],
        fill: float = 0.0,
        places: Sequence[tuple[int, int]] | None = None,
        clip: tuple[str, float] = ("nothing", 0.0),
    ) -> Rule: ...
    @property
    def name(self) -> str: ...
    @property
    def settings(self) -> NDArray[np.float64]: ...
    @property
    def running(self) -> NDArray[np.float64]: ...
    @property
    def states(self) -> NDArray[Any]: ...
    @property
    def norm(self) -> float: ...
    def freeze(self, frozen: Sequence[bool]) -> None: ...
    def apply(self, threads: int = 1) -> None: ...
