"""`save` and `load`: a network in a file; how pickle and copy make one."""

from __future__ import annotations

import copyreg
import os
from pathlib import Path

from cnet.classes import Classes, check_classes
from cnet.errors import FileFormatError
from cnet.files import decode, encode, write_atomically
from cnet.model import Sequential
from cnet.resuming import split_arrays
from cnet.state import reduce, restore, state_of


def save(net: Sequential, path: str | os.PathLike[str]) -> None:
    """Write a network to one file: architecture, weights, optimizer state, seed.

    The file appears whole or not at all: it is written beside its place, flushed to the disk and
    renamed, so that an earlier file of that name survives any failure. A network that is loaded
    from it goes on training as this one would, to the same bits.

    Parameters
    ----------
    net : Sequential
        Built.
    path : path

    Raises
    ------
    NotBuiltError
        Before `build`.
    TypeError, ValueError
        For custom parts that a file cannot hold: settings that are no plain data, two classes of
        one name.
    OSError
        If the file cannot be written.
    """
    config, arrays = state_of(net)
    write_atomically(Path(path), encode(config, arrays))


def load(path: str | os.PathLike[str], custom: Classes | None = None) -> Sequential:
    """Read a network that `save` or a `Checkpoint` wrote.

    Parameters
    ----------
    path : path
    custom : {name: class}, optional
        The classes of the user's own parts (`cnet.custom`), by their names: a file says which
        they are and with which settings, and never brings code with it.

    Returns
    -------
    Sequential

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    FileFormatError
        If the file is damaged, truncated or not one of cnet's.
    ValueError, TypeError
        If `custom` lacks a class that the network needs, or has what is none.
    """
    raw = Path(path).read_bytes()
    try:
        config, arrays = decode(raw)
    except FileFormatError as error:
        raise FileFormatError(f"{os.fspath(path)}: {error}") from None
    own = check_classes(config, custom)
    try:
        if config.pop("run", None) is not None:
            arrays = split_arrays(arrays)[0]
        return restore(config, arrays, Sequential, own)
    except FileFormatError as error:
        raise FileFormatError(f"{os.fspath(path)}: {error}") from None
    except Exception as error:
        # Whatever a hostile header makes of a description, it is the file's fault.
        raise FileFormatError(f"{os.fspath(path)} does not describe a network: {error}") from error


copyreg.pickle(Sequential, reduce)
