"""Names for types of arrays. Only type checkers import numpy.typing, which costs a millisecond."""

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Array: TypeAlias = npt.NDArray[Any]
    Floats: TypeAlias = npt.NDArray[np.float64]
    Integers: TypeAlias = npt.NDArray[np.int64]
    ArrayLike: TypeAlias = npt.ArrayLike
else:
    Array = Floats = Integers = np.ndarray
    ArrayLike = Any
