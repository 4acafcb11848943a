"""The command `python -m cnet`, also installed as `cnet`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TextIO

from cnet import demo
from cnet.info import info


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        Instead of the process's own.

    Returns
    -------
    int
        0 if all went well, 1 if not, 130 after Ctrl-C.

    Raises
    ------
    SystemExit
        As argparse does: 0 after --help and --version, 2 for arguments that it cannot take.
    """
    try:
        status = _run(arguments)
        # Here, where a closed pipe can still be answered, and not when the process ends.
        if sys.stdout is not None:
            sys.stdout.flush()
        return status
    except BrokenPipeError:
        return 1  # whoever read the output has had enough (`| head`)
    except OSError as error:
        print(f"cnet: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        for stream in (sys.stdout, sys.stderr):
            _let_go(stream)


def _let_go(stream: TextIO | None) -> None:
    """Send what cannot be written nowhere: Python would complain about it when the process ends."""
    if stream is None:
        return
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _run(arguments: Sequence[str] | None) -> int:
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.command == "info":
        print(info())
    elif given.command == "demo":
        task = demo.FASHION if given.fashion else demo.DIGITS
        return 0 if demo.run(task, given.seed, given.epochs, given.save) else 1
    else:
        parser.print_help()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cnet", description="Dense neural networks on a CPU: compiled backpropagation."
    )
    parser.add_argument("--version", action="version", version=f"cnet {info()['cnet']}")
    commands = parser.add_subparsers(dest="command", title="commands", metavar="COMMAND")
    show = commands.add_parser(
        "demo",
        help="train a network, show what it gets wrong, save it and load it again",
        description="Train a network on the digits that come with cnet (under two seconds), show "
        "what it gets wrong, save it and load it again.",
    )
    show.add_argument(
        "--fashion",
        action="store_true",
        help="train on Fashion-MNIST's 60,000 images instead; the files must be on the machine",
    )
    show.add_argument("--seed", type=_whole(0), default=1, help="of the network (1)")
    show.add_argument(
        "--epochs",
        type=_whole(1),
        help=f"passes over the images ({demo.DIGITS.epochs}; {demo.FASHION.epochs} with --fashion)",
    )
    show.add_argument(
        "--save", type=_new_file, metavar="PATH", help="leave the trained network in this file"
    )
    commands.add_parser(
        "info",
        help="print versions, instruction set, BLAS and threads",
        description="Print versions, instruction set, BLAS and threads.",
    )
    return parser


def _whole(low: int) -> Callable[[str], int]:
    """Return a converter for argparse: a whole number of at least `low` and at most 64 bits."""

    def convert(text: str) -> int:
        if not text.isdecimal() or not low <= int(text) < 1 << 64:
            raise argparse.ArgumentTypeError(
                f"expected a whole number of at least {low} and below 2**64, got {text!r}"
            )
        return int(text)

    return convert


def _new_file(text: str) -> Path:
    """A path that a file can be written to: checked before the training, not after it."""
    path = Path(text)
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is a folder; give the name of a file in it")
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {str(path.parent)!r}; make it first")
    return path


if __name__ == "__main__":
    sys.exit(main())
