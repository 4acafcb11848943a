"""The handwritten digits that come with the package."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal, overload

import numpy as np

from cnet.datasets.idx import load_idx

if TYPE_CHECKING:
    import numpy.typing as npt

    from cnet.datasets.idx import ImagesAndLabels


@overload
def load_digits(split: Literal[False] = False) -> ImagesAndLabels: ...
@overload
def load_digits(split: Literal[True]) -> tuple[ImagesAndLabels, ImagesAndLabels]: ...
def load_digits(
    split: bool = False,
) -> ImagesAndLabels | tuple[ImagesAndLabels, ImagesAndLabels]:
    """Load 1,797 handwritten digits of 8 x 8 pixels, which come with the package.

    They are the test part of UCI's *Optical Recognition of Handwritten Digits*, the same images
    in the same order as scikit-learn's ``load_digits``.

    Parameters
    ----------
    split : bool, default False
        Whether to set rows aside for testing: of each class, every fifth image in file order.
        The parts are the same on every call, need no seed, and hold the ten classes in equal
        shares. Neighbouring rows are mostly by one writer, so this spreads each of the 13
        writers over both parts, and the test accuracy is that for known hands. The last fifth
        of the rows, ``x[-360:]``, is the harder test, of hands that training has not seen:
        logistic regression gets 97 % of the one and 90 % of the other right.

    Returns
    -------
    x : numpy.ndarray, (1797, 8, 8) uint8
        Pixels from 0 (paper) to 16 (ink): use ``scale=1/16`` for a network's input.
    y : numpy.ndarray, (1797,) int64
        The digits, 0 to 9.

        With ``split=True`` two such pairs, ``(x, y), (x_test, y_test)``, of 1,442 and 355 rows.

    Raises
    ------
    TypeError
        If `split` is not a bool.

    References
    ----------
    E. Alpaydin, C. Kaynak, *Optical Recognition of Handwritten Digits* (1998), UCI Machine
    Learning Repository, https://doi.org/10.24432/C50P49, licensed under CC BY 4.0.

    Examples
    --------
    >>> import cnet
    >>> (x, y), (x_test, y_test) = cnet.datasets.load_digits(split=True)
    >>> x.shape, x_test.shape
    ((1442, 8, 8), (355, 8, 8))
    """
    if not isinstance(split, (bool, np.bool_)):
        raise TypeError(
            f"split must be True or False, got {split!r}; for parts of another size, "
            "load everything and choose the rows yourself"
        )
    folder = os.path.dirname(__file__)
    x: npt.NDArray[np.uint8] = load_idx(os.path.join(folder, "digits-images-idx3-ubyte.gz"))
    y = load_idx(os.path.join(folder, "digits-labels-idx1-ubyte.gz")).astype(np.int64)
    if not split:
        return x, y
    test = np.zeros(y.shape, np.bool_)
    for digit in range(10):
        test[np.flatnonzero(y == digit)[4::5]] = True
    return (x[~test], y[~test]), (x[test], y[test])
