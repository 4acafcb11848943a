"""Callbacks: who is called when, what they may do to a run, and what is left when one fails."""

import ast
import inspect
import math
import pathlib
import re

import numpy as np
import pytest
from networks import losses_of, refused, regression, regressor, snapshot
from runs import FIT, Diary, fit, validated

import cnet
from cnet import callbacks, training
from cnet.callbacks import LambdaCallback, ReduceOnPlateau

HOOKS = ("on_fit_begin", "on_epoch_begin", "on_batch_end", "on_epoch_end", "on_fit_end")


# ---- order and times -------------------------------------------------------------------------


def test_order_of_hooks():
    diary = Diary(every=2)
    fit(regressor(), diary, epochs=2)
    keys = ("loss", "seconds")
    assert diary.diary == [
        ("fit_begin", 0, 0, 0),
        ("epoch_begin", 1, 0, 0),
        ("batch_end", 1, 2, 2),
        ("batch_end", 1, 4, 4),
        ("epoch_end", 1, 5, 5, keys),
        ("epoch_begin", 2, 0, 5),
        ("batch_end", 2, 1, 6),
        ("batch_end", 2, 3, 8),
        ("batch_end", 2, 5, 10),
        ("epoch_end", 2, 5, 10, keys),
        ("fit_end", 2, 5, 10),
    ]


def test_callbacks_are_called_in_their_order():
    diary = []
    fit(regressor(), Diary(1, diary=diary, name="a "), Diary(1, diary=diary, name="b "), epochs=1)
    names = [entry[0] for entry in diary]
    assert names[::2] == [name.replace("b ", "a ") for name in names[1::2]]
    assert names[:2] == ["a fit_begin", "b fit_begin"] and names[-1] == "b fit_end"


@pytest.mark.parametrize("everys", [(3,), (7,), (2, 3), (1, 4, 100)])
def test_every_callback_is_called_at_its_multiples_and_changes_no_bit(everys):
    plain, net = regressor("adam"), regressor("adam")
    history = fit(plain, epochs=4)
    diaries = [Diary(every) for every in everys]
    assert losses_of(fit(net, *diaries, epochs=4)) == losses_of(history)
    assert snapshot(net) == snapshot(plain)
    for diary in diaries:
        steps = [entry[3] for entry in diary.diary if entry[0] == "batch_end"]
        assert steps == list(range(diary.every, 21, diary.every))


def test_without_every_no_slice_is_cut(monkeypatch):
    limits = []

    class Slices(training.Slices):
        def run(self, work, limit, *args):
            limits.append(limit)
            return super().run(work, limit, *args)

    monkeypatch.setattr(training, "Slices", Slices)
    diary = Diary()
    fit(regressor(), diary, epochs=1)
    assert "batch_end" not in [entry[0] for entry in diary.diary]
    assert limits[0] == 5
    limits.clear()
    fit(regressor(), Diary(2), Diary(3), epochs=1)
    assert limits[0] == 2


def test_what_hooks_are_told():
    x, y = regression()
    net, by_hand = regressor(), regressor()
    seen = []

    def look(run):
        seen.append((run.batch, run.loss))
        assert run.network is net and run.epochs == 1 and run.steps == 5

    begun = []
    history = net.fit(
        x,
        y,
        shuffle=False,
        validation_split=0.0,
        callbacks=[
            LambdaCallback(on_batch_end=look, every=1),
            LambdaCallback(on_epoch_begin=lambda run: begun.append(run.loss)),
        ],
        **FIT,
    )
    losses = [by_hand.train_on_batch(x[i : i + 8], y[i : i + 8])["loss"] for i in range(0, 40, 8)]
    assert [batch for batch, _ in seen] == [1, 2, 3, 4, 5]
    means = np.cumsum(losses) / np.arange(1, 6)
    np.testing.assert_allclose([loss for _, loss in seen], means, rtol=1e-12)
    assert math.isnan(begun[0]) and seen[-1][1] == history["loss"][0]


@pytest.mark.parametrize("clip", [{}, {"global_clipnorm": 1.0}])
def test_figures_are_known_before(clip):
    found = []
    last = LambdaCallback(on_epoch_end=lambda run, figures: found.append((run, figures)))
    net = regressor(cnet.SGD(**clip), metrics=["mae", "rmse"])
    history = validated(net, last, epochs=1)
    run, figures = found[0]
    assert run.figures == tuple(figures) == tuple(history.keys())
    figures["loss"] = 0.0  # a copy
    assert history["loss"][0] > 0 and run.history is history is net.history


def test_no_epochs():
    diary = Diary()
    fit(regressor(), diary, epochs=0)
    assert [entry[0] for entry in diary.diary] == ["fit_begin", "fit_end"]


# ---- stopping --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "epochs", "steps"),
    [
        ("fit_begin", 0, 0),
        (("epoch_begin", 2), 1, 5),
        (("batch_end", 2, 3), 2, 8),
        (("batch_end", 2, 5), 2, 10),
        (("epoch_end", 2), 2, 10),
    ],
)
def test_stop(at, epochs, steps):
    net, ended = regressor("adam"), Diary()
    diary = Diary(1, at, lambda run: (run.stop("enough"), run.stop("too late")))
    history = fit(net, diary, ended, epochs=9)
    assert history.stopped == "enough" and not history.interrupted
    assert len(history) == epochs and net.rule.running[0] == steps
    assert "stopped: enough" in repr(history) or not epochs
    assert ended.diary[-1][0] == "fit_end"
    ends = [entry for entry in ended.diary if entry[0] == "epoch_end"]
    assert len(ends) == epochs


def test_stop_wants_a_reason():
    with refused(TypeError, "reason"):
        fit(regressor(), LambdaCallback(on_fit_begin=lambda run: run.stop("")))
    history = fit(regressor(), LambdaCallback(on_fit_begin=lambda run: run.stop()))
    assert history.stopped == "a callback asked for it"


def test_the_end_is_said(capsys):
    stop = LambdaCallback(on_epoch_end=lambda run, figures: run.stop("enough"))
    fit(regressor(), stop, epochs=4, verbose=2)
    assert capsys.readouterr().err.splitlines()[-1] == "stopped after 1 of 4 epochs: enough"


# ---- failures --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "at",
    ["fit_begin", ("epoch_begin", 2), ("batch_end", 2, 3), ("epoch_end", 2), "fit_end"],
)
@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()], ids=type)
def test_a_failing_callback_leaves_a_whole_network(at, error):
    def fail(run):
        raise error

    net, plain = regressor("adam"), regressor("adam")
    before, failing, after = Diary(), Diary(1, at, fail), Diary()
    if isinstance(error, OSError):
        with pytest.raises(OSError, match="disk full") as caught:
            fit(net, before, failing, after, epochs=2)
        assert caught.value is error
    else:
        assert fit(net, before, failing, after, epochs=2).interrupted
    hook, epoch = at[:2] if isinstance(at, tuple) else (at, 3 if at == "fit_end" else 1)
    whole = epoch - (hook != "epoch_end")
    assert len(net.history) == whole and net.history.interrupted == (type(error) is not OSError)
    # What was trained is the beginning of the same run left alone, to the bit.
    steps = int(net.rule.running[0])
    assert steps == {"fit_begin": 0, "epoch_begin": 5, "batch_end": 8}.get(hook, 10)
    stop = LambdaCallback(every=1, on_batch_end=lambda run: run.step == steps and run.stop())
    fit(plain, stop, epochs=2 if steps else 0)
    assert snapshot(net) == snapshot(plain)
    # Every callback that has begun is told of the end, and the network can be trained again.
    assert before.diary[-1][0] == "fit_end"
    for diary in (failing, after):
        assert ("fit_end" in [entry[0] for entry in diary.diary]) == (at != "fit_begin")
    assert len(fit(net, epochs=1)) == 1


def test_the_first_error_is_the_one_that_is_seen():
    def fail(text):
        def raise_it(*args):
            raise RuntimeError(text)

        return raise_it

    both = LambdaCallback(on_epoch_end=fail("first"), on_fit_end=fail("second"))
    with pytest.raises(RuntimeError, match="first") as caught:
        fit(regressor(), both)
    assert "second" in caught.value.__notes__[0]


def test_ctrl_c_hides_no_error():
    def interrupt(*args):
        raise KeyboardInterrupt

    def fail(run):
        raise RuntimeError("at the end")

    net = regressor()
    both = LambdaCallback(on_epoch_end=interrupt, on_fit_end=fail)
    with pytest.raises(RuntimeError, match="at the end"):
        fit(net, both)
    assert net.history.interrupted and len(net.history) == 1


def test_a_nonfinite_loss_ends_the_run_for_callbacks_too():
    diary = Diary()
    net = regressor(cnet.SGD(learning_rate=1e200))
    with pytest.raises(cnet.NonFiniteError):
        fit(net, diary)
    assert diary.diary[-1][0] == "fit_end"


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        (cnet.EarlyStopping(), TypeError, ["callbacks", "EarlyStopping()"]),
        ([cnet.EarlyStopping], TypeError, [r"callbacks\[0\]", "the class"]),
        ([print], TypeError, [r"callbacks\[0\]", "LambdaCallback"]),
        ([Diary(0)], ValueError, [r"callbacks\[0\].every", "at least 1"]),
        ([Diary(True)], TypeError, [r"callbacks\[0\].every"]),
        ([Diary(), cnet.EarlyStopping()], ValueError, [r"callbacks\[1\]", "validation_data"]),
        (
            [cnet.EarlyStopping("los", mode="min")],
            ValueError,
            ["'los'", "Did you mean 'loss'", "seconds"],
        ),
        ([ReduceOnPlateau("mae")], ValueError, ["'mae'", "loss, seconds"]),
    ],
)
def test_what_is_refused_before_anything_changes(given, error, words):
    net, (x, y) = regressor(), regression()
    with refused(error, *words):
        net.fit(x, y, callbacks=given, **FIT)
    assert not net.is_built and len(net.history) == 0


# ---- functions -------------------------------------------------------------------------------


def test_lambda_callback():
    calls = []
    functions = {name: (lambda *args, n=name: calls.append((n, len(args)))) for name in HOOKS}
    fit(regressor(), LambdaCallback(every=5, **functions), epochs=1)
    assert calls == [(name, 2 if name == "on_epoch_end" else 1) for name in HOOKS]
    with refused(ValueError, "on_batch_end", "every"):
        LambdaCallback(on_batch_end=print)
    with refused(ValueError, "on_batch_end", "every"):
        LambdaCallback(every=3)
    with refused(TypeError, "on_fit_end", "function"):
        LambdaCallback(on_fit_end=3)


def test_callbacks_may_ask_and_save_the_network(tmp_path):
    x, y = regression()
    kept = []

    def ask(run, figures):
        cnet.save(run.network, tmp_path / "net")
        kept.append((run.network.evaluate(x, y)["loss"], run.network.predict(x[:3])))
        with pytest.raises(RuntimeError, match="trained already"):
            run.network.train_on_batch(x, y)

    net, plain = regressor("adam"), regressor("adam")
    fit(net, LambdaCallback(on_epoch_end=ask))
    fit(plain)
    assert snapshot(net) == snapshot(plain)
    assert kept[-1][0] == net.evaluate(x, y)["loss"]
    assert np.array_equal(cnet.load(tmp_path / "net").predict(x[:3]), kept[-1][1])


def test_the_readme_names_all():
    text = (pathlib.Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    table = text[text.index("### Callbacks") : text.index("### Data")]
    written = dict(re.findall(r"^\| `(\w+)\((.*?)\)`", table, re.MULTILINE))
    assert sorted(written) == sorted(set(callbacks.__all__) - {"Callback", "FitContext"})
    for name, parameters in written.items():
        known = inspect.signature(getattr(callbacks, name)).parameters.values()
        defaults = {p.name: p.default for p in known if p.default is not p.empty}
        words = [part.partition("=") for part in parameters.split(", ")]
        assert [word[0] for word in words] == [p.name for p in known]
        assert {word[0]: ast.literal_eval(word[2]) for word in words if word[2]} == defaults


@pytest.mark.parametrize("hook", ["on_epoch_begin", "on_batch_end", "on_epoch_end", "on_fit_end"])
def test_compile_is_refused_while_a_run_uses_what_it_would_replace(hook):
    refusals = []

    def again(run, *figures):
        with refused(RuntimeError, "being trained already", "the fit that calls this"):
            run.network.compile("sgd", "mae")
        refusals.append(run.epoch)

    every = {"every": 1} if hook == "on_batch_end" else {}
    net, plain = regressor(), regressor()
    history = fit(net, LambdaCallback(**{hook: again}, **every), epochs=2)
    assert refusals and history["loss"] == fit(plain, epochs=2)["loss"]
    net.compile("sgd", "mae")
    fit(net, epochs=1)
