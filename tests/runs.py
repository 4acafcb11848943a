"""Runs with callbacks that several test files share."""

from __future__ import annotations

from networks import regression, snapshot

from cnet import training
from cnet.callbacks import Callback

FIT = {"batch_size": 8, "verbose": 0}  # 40 rows: 5 batches per epoch


class Diary(Callback):
    """Writes down every call, and does something at one of them."""

    def __init__(self, every=None, at=None, action=None, diary=None, name=""):
        self.every, self.at, self.action = every, at, action
        self.diary = [] if diary is None else diary
        self.name = name

    def note(self, hook, run, *extra):
        self.diary.append((self.name + hook, run.epoch, run.batch, run.step, *extra))
        if self.at in (hook, (hook, run.epoch), (hook, run.epoch, run.batch)):
            self.action(run)

    def on_fit_begin(self, run):
        self.note("fit_begin", run)

    def on_epoch_begin(self, run):
        self.note("epoch_begin", run)

    def on_batch_end(self, run):
        self.note("batch_end", run)

    def on_epoch_end(self, run, figures):
        self.note("epoch_end", run, tuple(figures))

    def on_fit_end(self, run):
        self.note("fit_end", run)


def scripted(monkeypatch, values):
    """Let validation find these losses, one epoch after the other."""
    found = iter(values)
    monkeypatch.setattr(training, "evaluate_batches", lambda *args: {"loss": next(found)})


def fit(net, *given, epochs=3, **settings):
    x, y = regression()
    return net.fit(x, y, epochs=epochs, callbacks=given, **FIT | settings)


def validated(net, *given, **settings):
    return fit(net, *given, validation_data=regression(20), **settings)


def cut(*arrays, size=8):
    """Return arrays as a list of batches."""
    return [tuple(a[i : i + size] for a in arrays) for i in range(0, len(arrays[0]), size)]


def trained(net):
    """Return what training changes, without the number of passes over arrays."""
    return snapshot(net) | {"passes": b""}
