"""Learning-rate schedules: their numbers, and that training follows them to the bit."""

import math
import random

import numpy as np
import pytest
from networks import Unchanged, linear, losses_of, refused, regression, regressor, snapshot
from test_continuation import OPTIMIZERS, each_copy

import cnet
from cnet import byhand, schedules, training
from cnet.schedules import (
    Constant,
    Cosine,
    CosineRestarts,
    Exponential,
    Function,
    InverseScaling,
    MultiStep,
    OneCycle,
    Polynomial,
    Schedule,
    Step,
    WarmUp,
)

# What PyTorch 2.13 gives for OneCycleLR(max_lr=0.5, total_steps=12, pct_start=0.25, div_factor=10,
# final_div_factor=100) and for OneCycleLR(max_lr=1, total_steps=4, pct_start=0.1).
ONE_CYCLE = [
    0.04999999999999999, 0.275, 0.5, 0.4849382320412806, 0.44156959966896475, 0.375125,
    0.2936186323723159, 0.20688136762768417, 0.12537500000000004, 0.05893040033103527,
    0.015561767958719398, 0.0005, 0.0005, 0.0005,
]  # fmt: skip
ONE_CYCLE_DOWN = [0.9330129698414118, 0.5868257415371099, 0.17860948073194968, 4e-06, 4e-06]

# A schedule and its first rates, worked out by hand unless it says otherwise.
BY_HAND = [
    (Constant(0.5), [0.5, 0.5, 0.5]),
    (Step(1, 2, factor=0.5), [1, 1, 0.5, 0.5, 0.25, 0.25, 0.125]),
    (Step(8, 3), [8, 8, 8, 0.8, 0.8, 0.8, 0.08]),
    (Step(1, 1, factor=0), [1, 0, 0]),
    (MultiStep(1, [1, 4], factor=0.5), [1, 0.5, 0.5, 0.5, 0.25, 0.25]),
    (Exponential(8, 0.5), [8, 4, 2, 1, 0.5]),
    (Exponential(8, 0.25, every=2), [8, 4, 2, 1, 0.5]),
    (InverseScaling(6), [6, 6 / math.sqrt(2), 6 / math.sqrt(3), 3]),
    (InverseScaling(6, power=1), [6, 3, 2, 1.5]),
    (Polynomial(1, 4), [1, 0.75, 0.5, 0.25, 0, 0, 0]),
    (Polynomial(1, 4, final=0.2, power=2), [1, 0.65, 0.4, 0.25, 0.2, 0.2]),
    (Polynomial(0, 2, final=1), [0, 0.5, 1, 1]),
    (Cosine(1, 4), [1, (2 + math.sqrt(2)) / 4, 0.5, (2 - math.sqrt(2)) / 4, 0, 0, 0]),
    (Cosine(3, 2, final=1), [3, 2, 1, 1]),
    (CosineRestarts(1, 2), [1, 0.5, 1, 0.5, 1]),
    (CosineRestarts(4, 1, final=2, t_mult=2), [4, 4, 3, 4, (6 + math.sqrt(2)) / 2, 3]),
    (OneCycle(0.5, 12, pct_start=0.25, div_factor=10, final_div_factor=100), ONE_CYCLE),
    (OneCycle(1, 4, pct_start=0.1), ONE_CYCLE_DOWN),
    (OneCycle(1, 10, pct_start=0.1), [1, (1 + 4e-6 + (1 - 4e-6) * math.cos(math.pi / 9)) / 2]),
    (OneCycle(1, 1), [4e-6, 4e-6]),
    (WarmUp(4, 1), [0, 0.25, 0.5, 0.75, 1, 1, 1]),
    (WarmUp(2, Step(0.4, 2, 0.5), start=0.2), [0.2, 0.3, 0.4, 0.4, 0.2, 0.2, 0.1]),
    (WarmUp(1, lambda t: 10 / (t + 1), start=5), [5, 10, 5, 10 / 3]),
    (Function(lambda t: 1 / (1 + t)), [1, 1 / 2, 1 / 3]),
]
# One of each, for what holds for all.
EACH = {type(schedule).__name__: schedule for schedule, _ in BY_HAND}
each_schedule = pytest.mark.parametrize("schedule", EACH.values(), ids=EACH)
SAVED = [schedule for schedule in EACH.values() if "<lambda>" not in repr(schedule)] + [
    WarmUp(3, MultiStep(0.1, (2, 5))),
    Cosine(np.float32(0.1), np.int64(20), per="epoch"),
    WarmUp(2, Constant(0.1, per="epoch"), per="epoch"),
]
FIT = {"batch_size": 8, "verbose": 0}  # five steps per epoch of regression()


@pytest.mark.parametrize(("schedule", "rates"), BY_HAND, ids=lambda v: type(v).__name__)
def test_numbers(schedule, rates):
    got = schedule(np.arange(len(rates)))
    assert got.dtype == np.float64
    # Rates that are exactly zero at the end of a cosine come out as its last digit.
    np.testing.assert_allclose(got, rates, rtol=1e-14, atol=1e-16 * max(rates))


def test_every_schedule_is_tried():
    assert set(EACH) == set(schedules.names())


@each_schedule
def test_any_part_of_a_schedule_is_the_same_bits(schedule):
    whole = schedule(np.arange(3000))
    parts = [schedule(np.arange(a, b)) for a, b in ((0, 1), (1, 8), (8, 9), (9, 1500))]
    assert np.concatenate([*parts, schedule(np.arange(1500, 3000))]).tobytes() == whole.tobytes()
    assert [float(schedule(t)) for t in (0, 5, 2999)] == whole[[0, 5, 2999]].tolist()
    assert schedule([[1, 2], [3, 4]]).tolist() == whole[1:5].reshape(2, 2).tolist()
    assert schedule(np.arange(0)).shape == (0,)
    assert schedule(np.uint8(5)) == whole[5]


@pytest.mark.parametrize(
    "schedule",
    [
        Step(1, 7), MultiStep(1, [5, 50]), Exponential(1, 0.98), InverseScaling(1),
        Polynomial(1, 90, 0.1, 3), Cosine(1, 90, 0.1),
    ],
    ids=repr,
)  # fmt: skip
def test_what_falls_never_rises(schedule):
    rates = schedule(np.arange(200))
    assert (np.diff(rates) <= 0).all() and rates[0] == 1 and 0 < rates[-1] < 0.11


@pytest.mark.parametrize("t_mult", [1, 2, 3, 10])
@pytest.mark.parametrize("steps", [1, 3, 7])
def test_restarts_come_exactly_where_a_period_begins(steps, t_mult):
    rates = CosineRestarts(1.0, steps, t_mult=t_mult)(np.arange(2000))
    expected, length = [], steps
    while len(expected) < len(rates):
        expected += [(1 + math.cos(math.pi * i / length)) / 2 for i in range(length)]
        length *= t_mult
    np.testing.assert_allclose(rates, expected[: len(rates)], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    "then", [0.3, Exponential(0.3, 0.5), Cosine(0.3, 50), lambda t: 0.3 / (t + 1)]
)
def test_a_warm_up_meets_what_follows(then):
    rates = WarmUp(10, then, start=0.1)(np.arange(30))
    np.testing.assert_allclose(rates[:11], np.linspace(0.1, 0.3, 11), rtol=1e-14)
    assert rates[10:].tolist() == schedules.get(then)(np.arange(20)).tolist()


def test_one_cycle_is_highest_once_and_ends_low():
    rates = OneCycle(2.0, 1000)(np.arange(1500))
    assert rates.argmax() == 299 and rates[299] == pytest.approx(2, rel=1e-14)
    assert (np.diff(rates[:300]) > 0).all() and (np.diff(rates[299:1000]) < 0).all()
    assert (rates[999:] == rates[999]).all() and rates[999] == pytest.approx(2 / 25e4)


# ---- training ------------------------------------------------------------------------------------

SCHEDULE = WarmUp(3, CosineRestarts(0.05, 4, 0.001, t_mult=2))


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_every_step_has_its_rate(optimizer):
    """Against the same steps with every rate written by hand."""
    x, y = regression()
    net, by_hand = regressor(optimizer.replace(learning_rate=SCHEDULE)), regressor(optimizer)
    by_hand.build(4)
    net.fit(x, y, epochs=3, shuffle=False, **FIT)
    for step in range(15):
        by_hand.learning_rate = float(SCHEDULE(step))
        part = slice(step % 5 * 8, step % 5 * 8 + 8)
        by_hand.train_on_batch(x[part], y[part])
    assert snapshot(net) == snapshot(by_hand) | {"passes": b"3"}
    assert net.learning_rate == SCHEDULE(14) == by_hand.learning_rate
    assert net.rule.running[0] == 15


def test_batch_by_batch_and_by_hand_are_what_fit_does(monkeypatch):
    monkeypatch.setattr(byhand, "RATES_AT_ONCE", 4)
    x, y = regression()
    fitted, batches, by_hand = (regressor(cnet.Adam(SCHEDULE)).build(4) for _ in range(3))
    fitted.fit(x, y, epochs=2, shuffle=False, **FIT)
    loss = cnet.losses.MeanSquaredError()
    for step in range(10):
        part = slice(step % 5 * 8, step % 5 * 8 + 8)
        batches.train_on_batch(x[part], y[part])
        by_hand.zero_gradients()
        by_hand.backward(loss.gradient(by_hand.forward(x[part]), y[part]))
        by_hand.apply_gradients()
    assert snapshot(fitted) == snapshot(batches) | {"passes": b"2"}
    assert by_hand.learning_rate == fitted.learning_rate == SCHEDULE(9)
    for a, b in zip(fitted.get_weights(), by_hand.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


class RandomSlices(training.Slices):
    """Slices of any length, as on a machine that does other things as well."""

    lengths = random.Random(1)

    def run(self, *args):
        self._count = self.lengths.randint(1, 12)
        return super().run(*args)


@each_copy
@pytest.mark.parametrize("per", ["step", "epoch"])
def test_a_schedule_goes_on_as_if_it_had_never_been_interrupted(copied, per, tmp_path, monkeypatch):
    x, y = regression()
    schedule = WarmUp(3, Cosine(0.05, 9, per=per), per=per)
    whole, parts = (regressor(cnet.SGD(schedule, momentum=0.9)) for _ in range(2))
    history = whole.fit(x, y, epochs=8, **FIT)
    monkeypatch.setattr(training, "Slices", RandomSlices)
    losses = losses_of(parts.fit(x, y, epochs=2, **FIT))
    losses += losses_of(parts.fit(x, y, epochs=1, **FIT))
    parts = copied(parts, tmp_path)
    losses += losses_of(parts.fit(x, y, epochs=5, **FIT))
    assert losses == losses_of(history)
    assert snapshot(parts) == snapshot(whole)
    assert parts.compiled.optimizer.learning_rate == schedule


@pytest.mark.parametrize("steps_per_epoch", [None, 3, 7])
def test_epochs_are_those_of_fit(steps_per_epoch):
    x, y = regression()
    schedule = Step(0.1, 2, 0.5, per="epoch")
    fit = FIT | {"steps_per_epoch": steps_per_epoch}
    net, by_hand = regressor(cnet.SGD(schedule)), regressor("sgd").build(4)
    for epoch in range(5):
        by_hand.learning_rate = float(schedule(epoch))
        by_hand.fit(x, y, epochs=1, **fit)
        net.fit(x, y, epochs=1, **fit)
        assert snapshot(net) == snapshot(by_hand)
        assert net.learning_rate == [0.1, 0.1, 0.05, 0.05, 0.025][epoch]


def test_a_function_of_epochs_is_asked_for_epochs():
    asked = []
    function = Function(lambda epoch: asked.append(epoch) or 0.1, per="epoch")
    net = regressor(cnet.SGD(function))
    net.fit(*regression(), epochs=3, **FIT)
    net.fit(*regression(), epochs=2, **FIT)
    assert asked == sorted(asked) and set(asked) == set(range(5))


def test_a_function_is_called_once_for_every_step(monkeypatch):
    x, y = regression()
    asked = []
    net = regressor(cnet.SGD(lambda step: asked.append(step) or 0.1 / (1 + step)))
    monkeypatch.setattr(training, "Slices", RandomSlices)
    net.fit(x, y, epochs=4, steps_per_epoch=7, **FIT)
    net.train_on_batch(x, y)
    net.zero_gradients()
    net.apply_gradients()
    assert asked == list(range(30)) and all(type(step) is int for step in asked)
    assert net.learning_rate == 0.1 / 30
    same = regressor(cnet.SGD(InverseScaling(0.1, power=1)))
    same.fit(x, y, epochs=4, steps_per_epoch=7, **FIT)
    other = regressor(cnet.SGD(lambda step: 0.1 / (1 + step)))
    other.fit(x, y, epochs=4, steps_per_epoch=7, **FIT)
    assert snapshot(same) == snapshot(other)


# ---- reading and writing -------------------------------------------------------------------------


def test_what_is_read_and_what_writing_does():
    x, y = regression()
    net = regressor(cnet.Adam(Polynomial(0.1, 100))).build(4)
    assert net.learning_rate == 0.1
    net.fit(x, y, **FIT)
    assert net.learning_rate == Polynomial(0.1, 100)(4)
    states = snapshot(net)
    net.learning_rate = 0.25
    assert snapshot(net) == states and net.learning_rate == 0.25
    net.fit(x, y, **FIT)
    assert net.learning_rate == 0.25 and net.compiled.optimizer == cnet.Adam(0.25)
    net.learning_rate = Step(1, 9)  # counts all the steps that were done
    net.fit(x, y, **FIT)
    assert net.learning_rate == Step(1, 9)(14) == 0.1
    net.learning_rate = lambda step: step
    net.train_on_batch(x, y)
    assert net.learning_rate == 15
    net.compile(cnet.Adam(Polynomial(0.1, 100)), "mse")
    assert net.learning_rate == 0.1


def test_a_wrong_rate_is_refused_and_changes_nothing():
    net = regressor(cnet.Adam(SCHEDULE)).build(4)
    for rate in (-1, math.nan, "0.1", Cosine, None):
        with (
            Unchanged(net),
            pytest.raises((ValueError, TypeError), match=r"learning_rate|function"),
        ):
            net.learning_rate = rate
        assert net.compiled.optimizer.learning_rate == SCHEDULE
    with pytest.raises(cnet.NotBuiltError):
        regressor(cnet.Adam(SCHEDULE)).learning_rate = 0.1


# ---- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", SAVED, ids=repr)
def test_every_schedule_can_be_saved(schedule, tmp_path):
    net = regressor(cnet.RMSprop(schedule)).build(4)
    cnet.save(net, tmp_path / "network")
    loaded = cnet.load(tmp_path / "network").compiled.optimizer
    assert loaded == cnet.RMSprop(schedule)
    steps = np.arange(50)
    assert loaded.learning_rate(steps).tobytes() == schedule(steps).tobytes()


class Own(Schedule):
    """A user's own class, which a file could not name."""

    def _rates(self, t):
        return 0.1 / (t + 1)


@each_copy
@pytest.mark.parametrize(
    "rate", [lambda t: 0.1 / (t + 1), Own(), WarmUp(2, lambda t: 0.1 / (t + 1))]
)
def test_a_function_is_not_saved_and_not_forgotten(rate, copied, tmp_path):
    x, y = regression()
    net = regressor(cnet.SGD(rate))
    net.fit(x, y, **FIT)
    loaded = copied(net, tmp_path)
    assert loaded.predict(x).tobytes() == net.predict(x).tobytes()
    assert loaded.learning_rate == net.learning_rate
    loaded.zero_gradients()
    again = copied(loaded, tmp_path)
    for train in (loaded.fit, loaded.train_on_batch, lambda *_: again.apply_gradients()):
        with (
            Unchanged(loaded),
            refused(RuntimeError, "function of the user's own", "net.learning_rate"),
        ):
            train(x, y)
    loaded.learning_rate = rate
    for each in (net, loaded):
        each.fit(x, y, **FIT)
    assert snapshot(loaded) == snapshot(net)


# ---- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: Constant(-0.1), ValueError, "learning_rate must be finite and at least 0"),
        (lambda: Step("0.1", 5), TypeError, "initial must be a number"),
        (lambda: Step(0.1, 0), ValueError, "every must be at least 1, got 0"),
        (lambda: Step(0.1, 5, factor=-1), ValueError, "factor must be"),
        (lambda: Step(0.1), TypeError, "needs every"),
        (lambda: MultiStep(0.1, []), ValueError, "milestones must be increasing"),
        (lambda: MultiStep(0.1, [3, 3]), ValueError, r"milestones must be increasing.*\(3, 3\)"),
        (lambda: MultiStep(0.1, 5), TypeError, "milestones must be a sequence"),
        (lambda: MultiStep(0.1, [1.5]), TypeError, "milestones must be an integer"),
        (lambda: Exponential(0.1, 0), ValueError, "decay must be finite and above 0"),
        (lambda: InverseScaling(math.inf), ValueError, "initial must be finite"),
        (lambda: Polynomial(0.1, 5, final=-1), ValueError, "final must be"),
        (lambda: Polynomial(0.1, 5, power=-1), ValueError, "power must be"),
        (lambda: Cosine(0.1, 2.5), TypeError, "steps must be an integer, got 2.5"),
        (lambda: CosineRestarts(0.1, 5, t_mult=1.5), TypeError, "t_mult must be an integer"),
        (lambda: OneCycle(0.1, 5, pct_start=1), ValueError, "pct_start must be finite.*below 1"),
        (lambda: OneCycle(0.1, 5, div_factor=0), ValueError, "div_factor must be"),
        (lambda: OneCycle(-1, 5), ValueError, "peak must be"),
        (lambda: WarmUp(5, "cosine"), TypeError, "then must be a number, got 'cosine'"),
        (lambda: WarmUp(5, -1), ValueError, "then must be"),
        (lambda: WarmUp(5, Cosine), TypeError, "object such as Cosine"),
        (lambda: WarmUp(0, 0.1), ValueError, "steps must be at least 1"),
        (lambda: WarmUp(5, Cosine(0.1, 9, per="epoch")), ValueError, "give both the same per="),
        (lambda: Function(0.1), TypeError, "function must be a function"),
        (lambda: Function(float), TypeError, "function must be a function"),
        (lambda: Cosine(0.1, 5, per="batch"), ValueError, "unknown per 'batch'.*epoch, step"),
        (lambda: cnet.Adam(Cosine), TypeError, "learning_rate must be an object such as"),
        (lambda: Cosine(0.1, 5)(0.5), TypeError, "steps must be integers, got float64"),
        (lambda: Cosine(0.1, 5)([1, -2]), ValueError, "steps must be at least 0, got -2"),
        (lambda: Exponential(1, 10)([0, 999]), ValueError, "rate of step 999 is inf"),
    ],
)  # fmt: skip
def test_settings_that_are_refused(make, error, words):
    with refused(error, words):
        make()


@pytest.mark.parametrize("rate", [-1.0, math.nan, "0.1", None])
def test_a_function_that_returns_no_rate_stops_training_where_it_is(rate):
    x, y = regression()
    net = regressor(cnet.SGD(lambda step: 0.1 if step < 7 else rate))
    with refused((ValueError, TypeError), r"learning_rate\(7\) must be"):
        net.fit(x, y, epochs=2, **FIT)
    assert all(np.isfinite(w).all() for w in net.get_weights()) and net.rule.running[0] <= 7


def test_epochs_exist_only_in_fit():
    net = linear(4, 2, Cosine(0.1, 5, per="epoch"))
    x, y = regression()
    for train in (net.train_on_batch, lambda *_: net.apply_gradients()):
        with Unchanged(net), refused(ValueError, "Cosine counts epochs", "per='step'"):
            train(x, y)
    unbuilt = regressor(cnet.SGD(Cosine(0.1, 5, per="epoch")))
    with refused(ValueError, "counts epochs"):
        unbuilt.train_on_batch(x, y)
    assert not unbuilt.is_built
