from collections.abc import Sequence
from typing import Any

class Routes:
    def __new__(
        cls, routes: Sequence[dict[str, Any]], inputs: int, size: int, itemsize: int
    ) -> Routes: ...
    @property
    def count(self) -> int: ...
    @property
    def width(self) -> int: ...
