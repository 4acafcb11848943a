"""Callbacks that write down what happens: a CSV file, TensorBoard."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TextIO

from cnet.context import FitContext
from cnet.errors import check_flag, check_integer, check_path
from cnet.hooks import Callback


class CSVLog(Callback):
    """Writes the figures of every epoch as a line of a file, at once.

    Parameters
    ----------
    path : str or path
        Overwritten when a run begins, unless `append`.
    append : bool
        Go on below the lines of a file with the same columns.

    Raises
    ------
    TypeError
    """

    def __init__(self, path: str | os.PathLike[str], append: bool = False) -> None:
        self.path = os.fspath(check_path("path", path, "a file"))
        self.append = check_flag("append", append)
        self._file: TextIO | None = None

    def on_fit_begin(self, run: FitContext) -> None:
        """Open the file and write the names of the columns.

        Raises
        ------
        OSError
            If it cannot be written.
        ValueError
            If a file to append to has other columns.
        """
        head = _csv_line(["epoch", *run.figures])
        there = ""
        if self.append and os.path.exists(self.path):
            with open(self.path, encoding="utf-8", newline="") as file:
                there = file.readline()
        if there and there.rstrip("\r\n") != head.rstrip("\r\n"):
            raise ValueError(
                f"{self.path} has the columns {there.strip()}, but this run gives {head.strip()}; "
                "append to another file"
            )
        # Held open from epoch to epoch; on_fit_end closes it. `restore` cuts a file that is there.
        flags: Literal["a", "w"] = "a" if self.append or run.resumed else "w"
        self._file = open(self.path, flags, encoding="utf-8", newline="")  # noqa: SIM115
        if not there and not run.resumed:
            self._write(head)

    def on_epoch_end(self, run: FitContext, figures: dict[str, float]) -> None:
        self._write(_csv_row(run.epoch, run.figures, figures))

    def state(self) -> dict[str, Any]:
        """Return the size of the file."""
        return {"size": 0 if self._file is None else os.fstat(self._file.fileno()).st_size}

    def restore(self, run: FitContext, state: dict[str, Any]) -> None:
        """Cut off what was written after the checkpoint, or write the file again if it is gone."""
        if self._file is None:
            return
        there = os.fstat(self._file.fileno()).st_size
        if there >= state["size"]:
            self._file.truncate(state["size"])
            return
        self._file.truncate(0)
        self._write(_csv_line(["epoch", *run.figures]))
        for epoch, row in enumerate(run.history.rows, 1):
            self._write(_csv_row(epoch, run.figures, row))

    def on_fit_end(self, run: FitContext) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write(self, line: str) -> None:
        if self._file is not None:
            self._file.write(line)
            self._file.flush()


def _csv_row(epoch: int, names: Sequence[str], figures: Mapping[str, float]) -> str:
    # repr gives the digits that make the same number again.
    return _csv_line([str(epoch), *(repr(float(figures[name])) for name in names)])


def _csv_line(cells: Sequence[str]) -> str:
    """Return a line of RFC 4180: a metric of the user's may have a comma in its name."""
    quoted = ['"' + c.replace('"', '""') + '"' if set(c) & set(',"\r\n') else c for c in cells]
    return ",".join(quoted) + "\n"


class TensorBoard(Callback):
    """Writes the figures of every epoch, and the learning rate, for TensorBoard.

    Needs `tensorboardX` (`pip install cnet[tensorboard]`) or `tensorboard`.

    Parameters
    ----------
    folder : str or path
        One run's own; `tensorboard --logdir` reads it or the one above it.
    every : int, optional
        Write "batch_loss", the mean of the epoch so far, after each so many batches too.

    Raises
    ------
    TypeError, ValueError
    """

    def __init__(self, folder: str | os.PathLike[str], every: int | None = None) -> None:
        self.folder = os.fspath(check_path("folder", folder, "a folder"))
        self.every = None if every is None else check_integer("every", every, 1)
        self._writer: Any = None

    def on_fit_begin(self, run: FitContext) -> None:
        """Open the folder.

        Raises
        ------
        ImportError
            If no package is there that can write.
        """
        self._writer = _summary_writer(self.folder)

    def on_batch_end(self, run: FitContext) -> None:
        self._writer.add_scalar("batch_loss", run.loss, run.step)

    def on_epoch_end(self, run: FitContext, figures: dict[str, float]) -> None:
        for name, value in (figures | {"learning_rate": run.network.learning_rate}).items():
            self._writer.add_scalar(name, value, run.epoch)
        self._writer.flush()

    def on_fit_end(self, run: FitContext) -> None:
        self._writer.close()
        self._writer = None


def _summary_writer(folder: str) -> Any:
    """Return what has `add_scalar(name, value, step)`, `flush` and `close`."""
    import importlib

    for module, writer in (("tensorboardX", "SummaryWriter"), ("tensorboard.summary", "Writer")):
        try:
            return getattr(importlib.import_module(module), writer)(folder)
        except ImportError:
            continue
    raise ImportError(
        "TensorBoard needs a package that writes its files: pip install tensorboardX "
        "(or cnet[tensorboard], or tensorboard itself)"
    )
