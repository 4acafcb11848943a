"""`Checkpoint`: writes down now and then all that `fit(resume=...)` needs to go on."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from cnet.context import FitContext
from cnet.errors import check_flag, check_integer, check_number, check_path
from cnet.files import TEMPORARY, encode, write_atomically
from cnet.hooks import Callback
from cnet.resuming import SUFFIX, capture, newest, numbered


class Checkpoint(Callback):
    """Writes a run to files, from which `fit(..., resume=folder)` continues it to the same bits.

    A file holds the network with its optimizer, the place in the epoch and in the order of the
    rows, the figures of the epoch so far, the history and the states of the other callbacks. It is
    written beside its place, flushed to the disk and renamed, so that there is always a whole one,
    and it has a checksum. Its size stays the same from checkpoint to checkpoint, but for a row of
    the history per epoch, and for the outputs of the epoch so far if a metric needs them.
    `cnet.load` reads the network out of it. Training waits while it is written.

    The files are called checkpoint-000001.cnet and so on. The end of the run is always written,
    before `EarlyStopping` brings its weights back.

    Parameters
    ----------
    folder : str or path
        Made if it is not there; for the checkpoints of one run.
    every : int, optional
        Write after each so many batches of the run.
    epochs : int, optional
        Write after each so many epochs; 1 if neither `every` nor `seconds` is given.
    seconds : float, optional
        Write when so much time has passed since the last call, at the end of a batch.
    keep : int or None
        So many files stay, the newest ones; None keeps all.
    on_interrupt : bool
        Write when Ctrl-C ends the run.
    overwrite : bool
        A run that begins afresh deletes the checkpoints that are in the folder; otherwise it is
        refused.

    Raises
    ------
    TypeError, ValueError
    """

    keeps_states = True

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        every: int | None = None,
        epochs: int | None = None,
        seconds: float | None = None,
        keep: int | None = 2,
        on_interrupt: bool = True,
        overwrite: bool = False,
    ) -> None:
        if every is None and epochs is None and seconds is None:
            epochs = 1
        self.folder = check_path("folder", folder, "a folder")
        self.every = None if every is None else check_integer("every", every, 1)
        self.epochs = None if epochs is None else check_integer("epochs", epochs, 1)
        self.seconds = None if seconds is None else check_number("seconds", seconds, 0, above=True)
        self.keep = None if keep is None else check_integer("keep", keep, 1)
        self.on_interrupt = check_flag("on_interrupt", on_interrupt)
        self.overwrite = check_flag("overwrite", overwrite)
        self._number = 0
        self._written: object = None

    def on_fit_begin(self, run: FitContext) -> None:
        """Make the folder, or look at what is in it.

        Raises
        ------
        FileExistsError
            If it has the checkpoints of another run.
        OSError
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        there = numbered(self.folder)
        self._number, self._written = max([0, *(number for number, _ in there)]), None
        if there and self.overwrite and not run.resumed:
            for _, path in there:
                path.unlink()
        elif there:
            last = newest(self.folder) if run.resumed else None
            if last is None or last.run["identity"] != run.identity:
                raise FileExistsError(
                    f"{self.folder} has the checkpoints of another run; continue that one with "
                    f"fit(..., resume={os.fspath(self.folder)!r}), give another folder, or let "
                    "them be deleted with overwrite=True"
                )
            if Path(run.resumed).resolve() == there[-1][1].resolve():
                self._written = run.moment
        for path in self.folder.glob(f"{TEMPORARY}*"):
            with suppress(OSError):  # what a run that was killed has left half-written
                path.unlink()

    def on_batch_end(self, run: FitContext) -> None:
        self._write(run)

    def on_epoch_end(self, run: FitContext, figures: dict[str, float]) -> None:
        if self.epochs is not None and run.epoch % self.epochs == 0:
            self._write(run)

    def on_fit_end(self, run: FitContext) -> None:
        if run.whole and not run.failed and (self.on_interrupt or not run.interrupted):
            self._write(run)

    def _write(self, run: FitContext) -> None:
        if self._written == run.moment:
            return
        path = self.folder / f"checkpoint-{self._number + 1:06d}{SUFFIX}"
        write_atomically(path, encode(*capture(run), checksum=True))
        self._number, self._written = self._number + 1, run.moment
        if self.keep is not None:
            for _, old in numbered(self.folder)[: -self.keep]:
                old.unlink(missing_ok=True)
