"""How many threads a call may use."""

from __future__ import annotations

import os
from pathlib import Path

from cnet.errors import check_integer

MOST = 256

_threads = 1


def set_threads(threads: int | str) -> int:
    """Set how many threads `fit`, `predict` and the like use, unless they are told otherwise.

    The number changes the time that a call takes and no bit of its results. Work that is too small
    to share stays on one thread. Threads are started when a call first has work for them, sleep
    in between, and are not inherited by a forked process, which starts its own.

    Parameters
    ----------
    threads : int or "auto"
        "auto" is as many as `available_cpus()`. A fresh process uses 1.

    Returns
    -------
    int
        The number set.

    Raises
    ------
    ValueError, TypeError
        For what is neither a number from 1 to 256 nor "auto".
    """
    global _threads
    if threads is None:
        raise TypeError('threads must be a number of threads or "auto", got None')
    _threads = resolve(threads)
    return _threads


def get_threads() -> int:
    """Return how many threads a call uses that is not told otherwise."""
    return _threads


def resolve(threads: int | str | None) -> int:
    """Return the number that an argument `threads` means: None is what `set_threads` says.

    Raises
    ------
    ValueError, TypeError
    """
    if threads is None:
        return _threads
    if type(threads) is int and 0 < threads <= MOST:  # without a call, for one-row predictions
        return threads
    if isinstance(threads, str):
        if threads != "auto":
            raise ValueError(f'threads must be a number of threads or "auto", got {threads!r}')
        return min(available_cpus(), MOST)
    number = check_integer("threads", threads, 1)
    if number > MOST:
        raise ValueError(f"threads must be at most {MOST}, got {number}")
    return number


def available_cpus() -> int:
    """Return how many processors this process may use: its affinity and its cgroup's quota."""
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    quota = _cgroup_quota(Path("/"))
    return count if quota is None else max(1, min(count, round(quota)))


def _cgroup_quota(root: Path) -> float | None:
    """Return the processors' worth of time that the control group grants, None without a limit.

    Groups are nested, and the tightest limit on the way up counts. Sources: Linux,
    Documentation/admin-guide/cgroup-v2.rst (cpu.max) and scheduler/sched-bwc.rst (cpu.cfs_*).
    """
    try:
        lines = (root / "proc/self/cgroup").read_text("ascii", "replace").splitlines()
    except OSError:
        return None
    limits: list[float] = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = root / "sys/fs/cgroup" / (controllers and "cpu")
        here = top / path.lstrip("/")
        # Inside a container the path may be the host's: its own group is then the top.
        for folder in dict.fromkeys([here, *here.parents, top]):
            if folder == top or top in folder.parents:
                limits += _limit_of(folder)
    return min(limits, default=None)


def _limit_of(folder: Path) -> list[float]:
    """Return a group's own limit, or nothing."""
    for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        try:
            words = " ".join((folder / name).read_text("ascii") for name in names).split()
        except (OSError, UnicodeDecodeError):
            continue
        if len(words) == 2 and all(word.isdecimal() for word in words) and int(words[1]):
            return [int(words[0]) / int(words[1])]
    return []
