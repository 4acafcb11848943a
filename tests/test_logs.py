"""Callbacks that write: every epoch at once, in numbers that are read back to the bit."""

import csv
import sys
import types

import pytest
from networks import refused, regressor
from runs import Diary, fit, validated

from cnet.callbacks import CSVLog, LambdaCallback, TensorBoard


def read(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_csv_log(tmp_path):
    path = tmp_path / "run.csv"
    counts = []
    look = LambdaCallback(on_epoch_end=lambda run, figures: counts.append(len(read(path))))
    net = regressor(metrics=["mae"])
    history = validated(net, CSVLog(path), look, epochs=3)
    assert counts == [1, 2, 3]  # at once
    lines = read(path)
    assert [line.pop("epoch") for line in lines] == ["1", "2", "3"]
    assert [{k: float(v) for k, v in line.items()} for line in lines] == history.rows
    validated(net, CSVLog(path, append=True), epochs=2)
    assert [line["epoch"] for line in read(path)] == ["1", "2", "3", "1", "2"]
    with refused(ValueError, "columns", "val_mae"):
        fit(net, CSVLog(path, append=True))
    assert len(read(path)) == 5
    fit(net, CSVLog(path), epochs=1)
    assert len(read(path)) == 1


def test_csv_log_survives_failures(tmp_path):
    def fail(run):
        raise RuntimeError

    path = tmp_path / "run.csv"
    log = CSVLog(str(path), append=True)  # a file that is not there yet
    with pytest.raises(RuntimeError):
        fit(regressor(), log, Diary(1, ("batch_end", 3, 1), fail))
    assert len(read(path)) == 2
    path.unlink()  # which Windows would refuse if it were open


def test_a_csv_cell_may_have_a_comma():
    from cnet.logs import _csv_line

    cells = ["epoch", 'share, "in" percent', "1.5"]
    assert next(csv.reader([_csv_line(cells)])) == cells


class Writer:
    """What TensorBoard's writers have in common."""

    made: list

    def __init__(self, folder):
        self.folder, self.scalars, self.closed = folder, [], False
        self.made.append(self)

    def add_scalar(self, name, value, step):
        assert not self.closed
        self.scalars.append((name, value, step))

    def flush(self):
        assert not self.closed

    def close(self):
        self.closed = True


def only(monkeypatch, name=None, writer=None):
    """Let nothing be importable that writes for TensorBoard, but for one module."""
    for module in ("tensorboardX", "tensorboard.summary"):
        monkeypatch.setitem(sys.modules, module, None)
    if name is not None:
        if "." in name:
            monkeypatch.setitem(sys.modules, "tensorboard", types.ModuleType("tensorboard"))
        module = types.ModuleType(name)
        setattr(module, writer, type("Made", (Writer,), {"made": []}))
        monkeypatch.setitem(sys.modules, name, module)
        return getattr(module, writer).made
    return None


@pytest.mark.parametrize(
    "there", [("tensorboardX", "SummaryWriter"), ("tensorboard.summary", "Writer")]
)
def test_tensorboard(there, monkeypatch, tmp_path):
    made = only(monkeypatch, *there)
    board = TensorBoard(tmp_path / "run", every=4)
    assert not made
    history = fit(regressor(), board, epochs=2)
    (writer,) = made
    assert writer.folder == str(tmp_path / "run") and writer.closed
    assert [s[::2] for s in writer.scalars] == [
        ("batch_loss", 4),
        ("loss", 1),
        ("seconds", 1),
        ("learning_rate", 1),
        ("batch_loss", 8),
        ("loss", 2),
        ("seconds", 2),
        ("learning_rate", 2),
    ]
    assert [s[1] for s in writer.scalars if s[0] == "loss"] == history["loss"]
    assert writer.scalars[-1][1] == 0.01


def test_tensorboard_says_what_to_install(monkeypatch, tmp_path):
    only(monkeypatch)
    net = regressor()
    with refused(ImportError, "pip install tensorboardX", r"cnet\[tensorboard\]"):
        fit(net, TensorBoard(tmp_path))
    assert net.rule.running[0] == 0
