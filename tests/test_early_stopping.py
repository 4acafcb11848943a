"""What looks whether a figure still improves: EarlyStopping and ReduceOnPlateau."""

import itertools
import math

import numpy as np
import pytest
from networks import refused, regressor, snapshot
from runs import Diary, fit, scripted, validated

import cnet
from cnet.callbacks import LambdaCallback, ReduceOnPlateau

CURVE = [5.0, 3.0, 4.0, 2.9, 3.5, 2.95, 3.1, 3.2, 2.0, 1.0]


def weights_after(epochs):
    net = regressor("adam")
    fit(net, epochs=epochs)
    return snapshot(net)


def by_loop(values, patience, min_delta):
    """Return (epochs done, best epoch), worked out step by step."""
    best, mark, since = math.inf, math.inf, 0
    for epoch, value in enumerate(values, 1):
        if value < best:
            best, best_epoch = value, epoch
        since = 0 if value < mark - min_delta else since + 1
        mark = min(mark, value) if since == 0 else mark
        if since == patience:
            break
    return epoch, best_epoch


@pytest.mark.parametrize("patience", [1, 2, 3, 4, 99])
@pytest.mark.parametrize("min_delta", [0.0, 0.2])
def test_early_stopping(patience, min_delta, monkeypatch):
    scripted(monkeypatch, CURVE)
    net, stopping = regressor("adam"), cnet.EarlyStopping(patience=patience, min_delta=min_delta)
    history = validated(net, stopping, epochs=len(CURVE))
    epochs, best = by_loop(CURVE, patience, min_delta)
    assert (len(history), stopping.best_epoch, stopping.best) == (epochs, best, CURVE[best - 1])
    assert history.restored_epoch == best
    assert bool(history.stopped) == (epochs < len(CURVE))
    assert not history.stopped or f"val_loss has not improved for {patience} " in history.stopped
    expected, found = weights_after(best), snapshot(net)
    for name in net.parameters:
        assert found[name] == expected[name]
    assert found["steps"] == weights_after(epochs)["steps"]  # weights alone come back


def test_without_restoring(monkeypatch):
    scripted(monkeypatch, CURVE)
    net = regressor("adam")
    history = validated(net, cnet.EarlyStopping(patience=2, restore_best=False), epochs=10)
    assert history.restored_epoch is None and len(history) == 6
    assert snapshot(net) == weights_after(6)


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_the_best_weights_come_back_whatever_ends_the_run(error, monkeypatch):
    def fail(run):
        raise error

    scripted(monkeypatch, [2.0, 1.0, 3.0, 0.0])
    net = regressor("adam")
    failing = Diary(1, ("batch_end", 4, 2), fail)
    run = lambda: validated(net, cnet.EarlyStopping(), failing, epochs=4)  # noqa: E731
    if error is KeyboardInterrupt:
        assert run().interrupted
    else:
        with pytest.raises(error):
            run()
    assert net.history.restored_epoch == 2
    assert "weights are those of epoch 2" in repr(net.history)
    expected, found = weights_after(2), snapshot(net)
    assert all(found[name] == expected[name] for name in net.parameters)


def test_nan_is_no_improvement(monkeypatch):
    scripted(monkeypatch, itertools.repeat(math.nan))
    net = regressor("adam")
    history = validated(net, cnet.EarlyStopping(patience=2), epochs=9)
    assert "never a number" in history.stopped and history.restored_epoch is None
    assert snapshot(net) == weights_after(2)


def test_a_callback_can_be_used_again(monkeypatch):
    scripted(monkeypatch, [1.0, 2.0, 5.0, 4.0])
    net, stopping = regressor(), cnet.EarlyStopping()
    validated(net, stopping, epochs=2)
    assert validated(net, stopping, epochs=2).restored_epoch == 2 and stopping.best == 4.0


@pytest.mark.parametrize(
    ("monitor", "mode"),
    [
        ("val_loss", "min"),
        ("accuracy", "max"),
        ("val_sparse_accuracy", "max"),
        ("rmse", "min"),
        ("val_r2", "max"),
        ("val_roc_auc", "max"),
        ("log_loss", "min"),
    ],
)
def test_mode_goes_by_the_name(monitor, mode):
    assert cnet.EarlyStopping(monitor).mode == mode


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"monitor": "coverage"}, ValueError, ["mode='auto'", "coverage", "mode='max'"]),
        ({"monitor": 3}, TypeError, ["monitor"]),
        ({"mode": "least"}, ValueError, ["mode", "auto, max, min"]),
        ({"patience": 0}, ValueError, ["patience", "at least 1"]),
        ({"min_delta": -1.0}, ValueError, ["min_delta"]),
        ({"restore_best": 1}, TypeError, ["restore_best"]),
    ],
)
def test_settings_of_early_stopping(settings, error, words):
    with refused(error, *words):
        cnet.EarlyStopping(**settings)


# ---- learning rate ---------------------------------------------------------------------------


def test_reduce_on_plateau(monkeypatch):
    scripted(monkeypatch, [1.0, 1.1, 1.0, 1.2, 1.1, 1.0, 0.5, 0.6, 0.7, 0.8])
    rates = []
    net = regressor(cnet.SGD(learning_rate=0.1))
    reducing = ReduceOnPlateau(
        factor=0.5, patience=2, min_delta=0.0, cooldown=2, min_learning_rate=0.03
    )
    look = LambdaCallback(on_epoch_end=lambda run, figures: rates.append(net.learning_rate))
    validated(net, reducing, look, epochs=10)
    # Two bad epochs, a reduction; epochs 4 and 5 do not count; 6 is bad, 7 good, 8 and 9 bad.
    assert rates == [0.1] * 2 + [0.05] * 6 + [0.03] * 2
    assert reducing.reductions == [(3, 0.05), (9, 0.03)]


def test_a_schedule_and_a_plateau_do_not_go_together():
    net = regressor(cnet.SGD(cnet.schedules.Step(0.1, 2)))
    with refused(ValueError, "ReduceOnPlateau", "schedule"):
        fit(net, ReduceOnPlateau("loss"))


def test_moving_statistics_come_back_with_the_weights(monkeypatch):
    scripted(monkeypatch, [2.0, 1.0, 3.0])

    def make():
        layers = [cnet.Dense(5), cnet.BatchNormalization(), cnet.Dense(2)]
        return cnet.Sequential(layers, seed=1, dtype="float64").compile("adam", "mse")

    net, other = make(), make()
    validated(net, cnet.EarlyStopping(), epochs=3)
    fit(other, epochs=2)
    for found, expected in ((net.buffers, other.buffers), (net.parameters, other.parameters)):
        assert found and all(np.array_equal(found[name], expected[name]) for name in expected)
