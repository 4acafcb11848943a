"""Ctrl-C during a run, and other threads during a run.

A run that is interrupted must be the beginning of the same run left alone, to the bit. Times are
asserted generously, since machines that run tests are busy.
"""

import _thread
import copy
import gc
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from networks import regression, regressor, rows, snapshot

import cnet

PROMPT = 1.0  # seconds; about 0.05 on a machine that has nothing else to do
FOREVER = 3 * 10**6  # epochs or steps: half a minute, which nobody waits for unless something fails


class CtrlC:
    """A context in which SIGINT comes after so many seconds; `late` is how long it took to end."""

    def __init__(self, after: float):
        self.timer = threading.Timer(after, self.press)
        self.pressed = None

    def press(self):
        self.pressed = time.perf_counter()
        _thread.interrupt_main()

    def __enter__(self):
        # Python drops an interruption that comes while a finalizer runs: leave it none to run.
        gc.collect()
        # Tests that run in the background of a shell are started with the signal ignored.
        self.before = signal.signal(signal.SIGINT, signal.default_int_handler)
        self.timer.start()
        return self

    def __exit__(self, *_):
        self.late = time.perf_counter() - self.pressed if self.pressed else None
        self.timer.cancel()
        self.timer.join()
        signal.signal(signal.SIGINT, self.before)


def interrupted(net, *data, after=0.2, **settings):
    """Train until interrupted; check what must hold of every such run."""
    with CtrlC(after) as ctrl_c:
        history = net.fit(*data, **{"epochs": FOREVER, "verbose": 0} | settings)
    assert ctrl_c.late is not None and ctrl_c.late < PROMPT
    assert history.interrupted and net.history is history
    assert all(np.isfinite(values).all() for values in net.parameters.values())
    assert net.rule.running[0] > 0
    return history


def test_ctrl_c_ends_a_run_and_keeps_what_there_is():
    history = interrupted(regressor("adam"), *regression())
    assert len(history) > 0
    assert len({len(history[name]) for name in history}) == 1


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "nadam"])
def test_an_interrupted_run_is_the_beginning_of_the_same_run(optimizer):
    x, y = regression()
    net, other = regressor(optimizer), regressor(optimizer)
    history = interrupted(net, x, y, batch_size=16, after=0.1)
    steps = int(net.rule.running[0])
    other.fit(x, y, epochs=1, steps_per_epoch=steps, batch_size=16, verbose=0)
    # The signal may come when the next order is already drawn, or figures are not yet listed.
    assert net.passes - other.passes in (0, 1)
    assert steps // 3 - len(history) in (0, 1)
    assert snapshot(other) | {"passes": b""} == snapshot(net) | {"passes": b""}


def test_a_network_goes_on_after_an_interruption():
    x, y = regression()
    net = regressor("adam")
    interrupted(net, x, y)
    other = copy.deepcopy(net)
    assert other.history.interrupted
    histories = [each.fit(x, y, epochs=5, verbose=0) for each in (net, other)]
    assert histories[0]["loss"] == histories[1]["loss"]
    assert len(histories[0]) == 5 and not histories[0].interrupted
    assert snapshot(net) == snapshot(other)


def test_ctrl_c_within_an_epoch():
    net = regressor("adam")
    history = interrupted(net, *regression(), steps_per_epoch=FOREVER)
    assert len(history) == 0


def test_ctrl_c_within_the_validation(monkeypatch):
    """The epoch is trained, but has no figures to be listed with."""
    net = regressor("adam")
    x, y = regression()
    evaluate = cnet.training.evaluate_batches

    def endless(*args):
        while True:
            evaluate(*args)

    monkeypatch.setattr(cnet.training, "evaluate_batches", endless)
    history = interrupted(net, x, y, validation_data=(x, y))
    assert len(history) == 0 and net.rule.running[0] == 2


def test_what_is_written_about_it(capsys):
    history = interrupted(regressor(), *regression(), verbose="auto")
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == f"interrupted after {len(history)} of {FOREVER} epochs; the network is kept"


def test_the_signal_itself_from_outside(tmp_path):
    """A whole process, as a terminal would interrupt it."""
    if os.name == "nt":
        pytest.skip("Windows has no SIGINT for a single process")
    code = (
        "import signal, sys, numpy as np, cnet\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "net = cnet.Sequential([cnet.Dense(8, 'relu'), cnet.Dense(1)], seed=1)\n"
        "net.compile('adam', 'mse')\n"
        "x = np.random.default_rng(0).normal(size=(64, 4))\n"
        "net.build(4)\n"
        "print('ready', flush=True)\n"
        "history = net.fit(x, x[:, :1], epochs=10**9, verbose=0)\n"
        "print(history.interrupted, len(history) > 0, np.isfinite(net.predict(x)).all())\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout.readline() == "ready\n"
        time.sleep(0.2)
        child.send_signal(signal.SIGINT)
        sent = time.perf_counter()
        out, err = child.communicate(timeout=30)
    finally:
        child.kill()
    assert (out, err) == ("True True True\n", "")
    assert child.returncode == 0
    assert time.perf_counter() - sent < 2 * PROMPT  # the end of the interpreter included


# ---- other threads -------------------------------------------------------------------------------


class Ticks:
    """Another thread that notes the time again and again; `gap` is its longest silence."""

    def __enter__(self):
        self.times, self.stop = [time.perf_counter()], threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()
        return self

    def run(self):
        while not self.stop.wait(0.002):
            self.times.append(time.perf_counter())

    def __exit__(self, *_):
        self.times.append(time.perf_counter())
        self.stop.set()
        self.thread.join()

    @property
    def gap(self) -> float:
        return float(np.diff(self.times).max())

    @property
    def length(self) -> float:
        return self.times[-1] - self.times[0]


def big():
    """Return a network and data that keep the compiled core busy for a tenth of a second."""
    net = cnet.Sequential([cnet.Dense(256, "tanh"), cnet.Dense(256, "tanh"), cnet.Dense(1)], seed=1)
    return net.compile("adam", "mse").build(128), rows(8000, 128, "float32"), rows(8000, 1)


@pytest.mark.parametrize("call", ["train_on_batch", "evaluate", "predict", "forward"])
def test_other_threads_run_while_the_compiled_code_does(call):
    net, x, y = big()
    data = (x, y) if call in ("train_on_batch", "evaluate") else (x,)
    getattr(net, call)(*data)  # what is loaded and allocated once
    silent = []
    for _ in range(5):
        with Ticks() as ticks:
            getattr(net, call)(*data)
        silent.append(ticks.gap / ticks.length)
    # With the lock held, there is a single tick at the end; the best of five, for busy machines.
    assert min(silent) < 0.6


def test_fit_in_a_thread_of_its_own():
    """Without signals to wait for; the main thread goes on and reads what is there."""
    x, y = regression()
    net, other = regressor("adam").build(4), regressor("adam")
    thread = threading.Thread(target=net.fit, args=(x, y), kwargs={"epochs": 2000, "verbose": 0})
    thread.start()
    while thread.is_alive():
        assert np.isfinite(net.predict(x)).all()
    thread.join()
    other.fit(x, y, epochs=2000, verbose=0)
    assert snapshot(net) == snapshot(other)


def test_networks_train_in_several_threads_at_once():
    x, y = regression()
    nets = [regressor("adam", seed=seed) for seed in range(4)]
    alone = [regressor("adam", seed=seed) for seed in range(4)]
    settings = {"epochs": 300, "verbose": 0}
    threads = [threading.Thread(target=net.fit, args=(x, y), kwargs=settings) for net in nets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for net, single in zip(nets, alone, strict=True):
        single.fit(x, y, **settings)
        assert snapshot(net) == snapshot(single)
