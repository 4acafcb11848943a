from typing import Any

from numpy.typing import NDArray

class Foreign:
    def __new__(
        cls,
        call: Any,
        parameters: dict[str, NDArray[Any]],
        gradients: dict[str, NDArray[Any]],
        dtype: Any,
    ) -> Foreign: ...
    @property
    def call(self) -> Any: ...

class ForeignLoss:
    def __new__(cls, call: Any, dtype: Any) -> ForeignLoss: ...
    @property
    def call(self) -> Any: ...
