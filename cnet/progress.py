"""Progress of a training run: one live line on a terminal, a few plain lines in a file."""

from __future__ import annotations

import os
import sys
import time
from typing import TextIO

# Plain lines of a whole run, however many epochs it has.
PLAIN_LINES = 10
# Seconds between two paintings of the live line.
INTERVAL = 0.1


class Progress:
    """Writes to standard error how far a run is.

    Parameters
    ----------
    epochs : int
    verbose : "auto", bool or int
        0 or False: nothing. "auto", True or 1: a live line if standard error is a terminal, else at
        most ten plain lines and one for the last epoch. 2: a plain line per epoch.
    stream : text file, optional
        Instead of standard error, which a windowed program does not have.

    Raises
    ------
    ValueError
        For another `verbose`.
    """

    def __init__(self, epochs: int, verbose: str | int, stream: TextIO | None = None) -> None:
        if verbose not in ("auto", 0, 1, 2):
            raise ValueError(f"verbose must be 'auto', 0, 1 or 2, got {verbose!r}")
        self._stream = stream if stream is not None else sys.stderr
        self._epochs = epochs
        self._on = verbose != 0 and self._stream is not None
        self._live = self._on and verbose != 2 and getattr(self._stream, "isatty", bool)()
        self._every = 1 if verbose == 2 else max(1, -(-epochs // PLAIN_LINES))
        self._began = self._painted = time.monotonic()
        self._done = 0.0
        self._width = 0
        self._waiting = ""

    def note(self, line: str) -> None:
        """Write a line before the first epoch."""
        if self._on:
            self._stream.write(line + "\n")
            self._stream.flush()

    def start_at(self, epochs: float) -> None:
        """Know of so many epochs that an earlier run has done, when the time left is reckoned."""
        self._done = epochs / max(self._epochs, 1)

    def step(self, epoch: int, share: float | None, loss: float, batch: int = 0) -> None:
        """Report where in an epoch the run is: `share` of it is done.

        It is None where nobody knows how many batches there will be: so many are done.
        """
        now = time.monotonic()
        if not self._live or now - self._painted < INTERVAL:
            return
        if share is None:
            self._paint(f"epoch {epoch}/{self._epochs} batch {batch}, loss {loss:.4g}")
            return
        done = (epoch - 1 + share) / self._epochs
        here = done - self._done
        left = (now - self._began) * (1 - done) / here if here > 0 else 0.0
        bar = "#" * round(20 * share)
        self._paint(
            f"epoch {epoch}/{self._epochs} [{bar:<20}] loss {loss:.4g}, {_duration(left)} left"
        )

    def epoch(self, epoch: int, row: dict[str, float]) -> None:
        """Report the end of an epoch."""
        if not self._on:
            return
        figures = ", ".join(f"{k} {v:.4g}" for k, v in row.items() if k != "seconds")
        passed = _duration(time.monotonic() - self._began)
        line = f"epoch {epoch}/{self._epochs} {figures}, {passed}"
        if self._live:
            # Epochs of a small network are shorter than the writing of a line.
            self._waiting = line
            if epoch == self._epochs or time.monotonic() - self._painted >= INTERVAL:
                self._paint(line)
        elif epoch % self._every == 0 or epoch in (1, self._epochs):
            self._stream.write(line + "\n")
            self._stream.flush()

    def close(self, note: str = "") -> None:
        """End the live line; add a note about how the run ended."""
        if self._live and self._waiting:
            self._paint(self._waiting)
        if self._live and self._width:
            self._stream.write("\n")
        if self._on and note:
            self._stream.write(note + "\n")
        if self._on:
            self._stream.flush()

    def _paint(self, line: str) -> None:
        line = line[: _columns(self._stream) - 1]
        self._stream.write("\r" + line.ljust(self._width))
        self._stream.flush()
        self._width = len(line)
        self._waiting = ""
        self._painted = time.monotonic()


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def _columns(stream: TextIO) -> int:
    """Return the width of the terminal, which may change while it is written to."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (AttributeError, OSError, ValueError):
        return 80
