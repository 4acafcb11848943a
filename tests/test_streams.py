"""Batches that an iterable gives: the same training as by arrays, to the bit."""

import numpy as np
import pytest
from networks import classes, classifier, losses_of, regression, regressor, rows
from runs import Diary, cut, trained

import cnet
from cnet import training
from cnet._core.sources import Source

QUIET = {"verbose": 0}
each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def figures(history):
    return {key: history[key] for key in history if key != "seconds"}


class Loader:
    """What PyTorch's DataLoader is: something with a length that gives lists of tensors."""

    class Tensor:
        def __init__(self, values):
            self._values = values

        def __array__(self, dtype=None, copy=None):
            return np.array(self._values, dtype)

    def __init__(self, *arrays, size=8):
        self.batches = cut(*arrays, size=size)

    def __len__(self):
        return len(self.batches)

    def __iter__(self):
        return ([self.Tensor(part) for part in batch] for batch in self.batches)


# ---- the same training ---------------------------------------------------------------------------

KINDS = {
    "list": lambda *arrays: cut(*arrays),
    "tuple of lists": lambda *arrays: tuple(map(list, cut(*arrays))),
    "function": lambda *arrays: lambda: iter(cut(*arrays)),
    "loader": Loader,
}


@each_dtype
@pytest.mark.parametrize("kind", KINDS)
def test_batches_of_an_iterable_are_those_of_arrays(dtype, kind):
    """To the bit, with everything that an epoch has: weights, metrics of both kinds, validation."""
    x, y = regression(44)
    weight = np.linspace(0.5, 2, 44)
    check = (*regression(20), np.linspace(1, 2, 20))
    nets = [
        regressor(
            cnet.Adam(global_clipnorm=0.5, learning_rate=cnet.schedules.Exponential(0.01, 0.9)),
            metrics=["mae", "r2"], dtype=dtype,
        )
        for _ in range(2)
    ]  # fmt: skip
    settings = {"epochs": 3, "validation_data": check} | QUIET
    one = nets[0].fit(x, y, sample_weight=weight, batch_size=8, shuffle=False, **settings)
    other = nets[1].fit(KINDS[kind](x, y, weight), **settings)
    assert figures(one) == figures(other)
    assert set(other) >= {"r2", "val_r2", "mae", "gradient_norm", "val_loss"}
    assert trained(nets[0]) == trained(nets[1])
    assert nets[1].passes == 0  # no order was drawn


@pytest.mark.parametrize("sizes", [(3, 40, 7, 40), (5, 1500, 2, 2100, 1024, 1)])
@pytest.mark.parametrize("chosen", [(), ("r2",)])
def test_every_batch_is_one_step_whatever_its_size(sizes, chosen):
    parts = [regression(n) for n in sizes]
    one, other = regressor("adam", metrics=chosen), regressor("adam", metrics=chosen)
    one.fit(parts, **QUIET)
    for x, y in parts:
        other.train_on_batch(x, y)
    assert trained(one) == trained(other)
    assert one.rule.running[0] == len(sizes)


def test_metrics_of_the_epoch_are_those_of_all_rows():
    x, labels = classes(50)
    net = classifier()
    net.compile(cnet.SGD(learning_rate=0.0), net.compiled.loss, ["f1", "roc_auc"])
    batches = [(x[:7], labels[:7]), (x[7:30], labels[7:30]), (x[30:], labels[30:])]
    history = net.fit(batches, epochs=2, validation_data=batches, **QUIET)
    expected = net.evaluate(x, labels)
    for key in ("f1", "roc_auc"):
        assert history[key] == history[f"val_{key}"] == [expected[key]] * 2


def test_a_row_without_weight_counts_as_one_beside_others_that_have_some():
    x, labels = classes(30)
    net = classifier().build(4)
    net.compile(cnet.SGD(learning_rate=0.0), net.compiled.loss, ["f1", "accuracy"])
    weight = np.linspace(0, 3, 15)
    found = net.evaluate([(x[:15], labels[:15]), (x[15:], labels[15:], weight)])
    expected = net.evaluate(x, labels, np.concatenate([np.ones(15), weight]))
    assert found == pytest.approx(expected, rel=1e-12)


def test_one_memory_that_every_batch_is_written_to():
    """The usual way to save copies; what was taken from a batch must not change with the next."""
    x, y = regression(40)

    def reused():
        x_batch, y_batch = np.empty((8, 4)), np.empty((8, 2))
        for x_part, y_part in cut(x, y):
            x_batch[:], y_batch[:] = x_part, y_part
            yield x_batch, y_batch

    nets = [regressor("adam", metrics=["r2"]) for _ in range(2)]
    histories = [nets[0].fit(reused, epochs=2, **QUIET), nets[1].fit(cut(x, y), epochs=2, **QUIET)]
    assert figures(histories[0]) == figures(histories[1])


def test_batch_size_cuts():
    x, y = regression(40)
    one, other = regressor("adam"), regressor("adam")
    history = one.fit(cut(x, y, size=20), batch_size=8, **QUIET)
    ends = ((0, 8), (8, 16), (16, 20), (20, 28), (28, 36), (36, 40))
    expected = other.fit([(x[i:j], y[i:j]) for i, j in ends], **QUIET)
    assert figures(history) == figures(expected)
    assert trained(one) == trained(other)


def test_class_weights():
    x, labels = classes()
    table = {0: 2.0, 2: 0.5}
    one, other = classifier(), classifier()
    one.fit(x, labels, class_weight=table, batch_size=8, shuffle=False, validation_split=0.0,
            validation_data=(x, labels), **QUIET)  # fmt: skip
    history = other.fit(cut(x, labels), class_weight=table, validation_data=cut(x, labels), **QUIET)
    assert trained(one) == trained(other)
    assert history["val_loss"] == pytest.approx(one.history["val_loss"], rel=1e-12)


def test_any_number_of_threads():
    parts = [(rows(n, 300, seed=n), rows(n, 2, seed=n)) for n in (200, 1500)]
    bits = set()
    for threads in (1, 3):
        net = cnet.Sequential([cnet.Dense(300, "tanh"), cnet.Dense(2)], seed=1).compile("adam")
        net.fit(parts, threads=threads, **QUIET)
        bits.add(net.get_weights()[0].tobytes())
    assert len(bits) == 1


# ---- rounds and epochs ---------------------------------------------------------------------------


def test_an_epoch_may_be_shorter_than_a_round_or_longer():
    x, y = regression(40)
    one, other = regressor("adam"), regressor("adam")
    history = one.fit(cut(x, y), epochs=4, steps_per_epoch=3, **QUIET)
    expected = other.fit(x, y, batch_size=8, shuffle=False, epochs=4, steps_per_epoch=3, **QUIET)
    assert figures(history) == figures(expected)
    assert trained(one) == trained(other)
    one.fit(cut(x, y), epochs=1, steps_per_epoch=12, **QUIET)
    assert one.rule.running[0] == 24


def test_a_generator_is_gone_through_once_and_goes_on_in_the_next_run():
    x, y = regression(40)
    whole, parts = regressor("adam"), regressor("adam")
    whole.fit(cut(x, y), epochs=2, **QUIET)
    made = iter(cut(x, y) + cut(x, y))
    first = parts.fit(made, epochs=1, steps_per_epoch=3, **QUIET)
    assert first.stopped == ""
    second = parts.fit(made, epochs=9, steps_per_epoch=4, **QUIET)
    assert (len(second), second.stopped) == (2, "the iterator has no more batches")
    assert trained(whole) == trained(parts)


def test_a_generator_that_ends_within_an_epoch_leaves_that_in_the_history():
    x, y = regression(40)
    history = regressor().fit(iter(cut(x, y)), epochs=3, steps_per_epoch=3, **QUIET)
    assert (len(history), history.stopped) == (2, "the iterator has no more batches")
    net = regressor()
    assert len(net.fit(iter(cut(x, y)), **QUIET)) == 1
    assert (net.history.stopped, net.rule.running[0]) == ("", 5)


def test_no_batch_is_taken_that_is_not_trained_on():
    made = iter(cut(*regression(40)))
    regressor().fit(made, steps_per_epoch=2, **QUIET)
    assert len(list(made)) == 3


def test_the_number_of_batches_is_known_where_there_is_a_length_or_after_an_epoch():
    x, y = regression(40)
    for batches, expected in ((cut(x, y), [5, 5]), (lambda: iter(cut(x, y)), [None, 5])):
        diary = Diary()
        diary.note = lambda hook, run, *_, found=diary.diary: found.append((hook, run.steps))
        regressor().fit(batches, epochs=2, callbacks=[diary], **QUIET)
        assert [steps for hook, steps in diary.diary if hook == "epoch_begin"] == expected


@pytest.mark.parametrize("per", ["step", "epoch"])
def test_schedules(per):
    x, y = regression(40)
    rate = cnet.SGD(learning_rate=cnet.schedules.Step(0.1, 3 if per == "step" else 1, per=per))
    one, other = regressor(rate), regressor(rate)
    one.fit(x, y, batch_size=8, shuffle=False, epochs=3, **QUIET)
    other.fit(cut(x, y), epochs=3, **QUIET)
    assert trained(one) == trained(other)


def test_callbacks():
    x, y = regression(40)
    one, other = Diary(every=2), Diary(every=2)
    regressor().fit(x, y, batch_size=8, epochs=2, callbacks=[one], **QUIET)
    regressor().fit(lambda: iter(cut(x, y)), epochs=2, callbacks=[other], **QUIET)
    assert one.diary == other.diary
    stop = Diary(every=1, at=("batch_end", 1, 3), action=lambda run: run.stop("enough"))
    history = regressor().fit(cut(x, y), epochs=2, callbacks=[stop], **QUIET)
    assert (len(history), history.stopped) == (1, "enough")


# ---- evaluation ----------------------------------------------------------------------------------


def test_evaluation_of_batches_is_that_of_all_rows():
    x, y = regression(3000)
    net = regressor(loss="rmse", metrics=["mae", "r2"]).build(4)
    expected = net.evaluate(x, y)
    for batches in (cut(x, y, size=1700), Loader(x, y), iter(cut(x, y)), lambda: cut(x, y)):
        assert net.evaluate(batches) == pytest.approx(expected, rel=1e-12)


def test_validation_begins_with_the_first_batch_every_time():
    x, y = regression(40)
    settings = {"epochs": 3, "batch_size": 8, "shuffle": False} | QUIET
    one, other = regressor(), regressor()
    one.fit(x, y, validation_data=(x, y), **settings)
    other.fit(x, y, validation_data=cut(x, y), **settings)
    assert losses_of(other.history) == pytest.approx(losses_of(one.history), rel=1e-12)


def test_validation_data_in_lists_of_rows_is_no_list_of_batches():
    x, y = regression(2)
    lists = [list(x), list(y)]
    one, other = regressor(), regressor()
    history = one.fit(x, y, validation_data=lists, **QUIET)
    assert losses_of(history) == losses_of(other.fit(x, y, validation_data=(x, y), **QUIET))


def test_a_diverged_network_is_evaluated_nonetheless():
    net = regressor(metrics=["mae", "r2"]).build(4)
    for values in net.parameters.values():
        values[:] = np.inf
    found = net.evaluate(cut(*regression(40)))
    assert set(found) == {"loss", "mae", "r2"} and not np.isfinite(list(found.values())).any()


# ---- the compiled half ---------------------------------------------------------------------------


@pytest.mark.parametrize("chosen", [(), ("r2",)])
def test_memory_is_laid_out_anew_only_for_a_larger_batch(chosen):
    net = regressor(metrics=chosen).build(4)
    data = {n: training.prepare(net, *regression(n), None) for n in (10, 7, 20, 3)}
    work = training.batches(net, data[10], 10, net.rule)
    sizes = []
    for n in (7, 10, 20, 3, 20):
        training.rebind(net, work, data[n], n)
        assert (work.rows, work.batch_size, work.position) == (n, n, n)
        sizes.append(work.nbytes)
        work.begin()
        assert work.run(5)
    assert sizes[0] == sizes[1] < sizes[2] == sizes[3] == sizes[4]
    assert (work.steps, work.rows_done) == (5, 60)


def test_what_does_not_fit_leaves_the_binding_as_it_was():
    net = regressor().build(4)
    data = training.prepare(net, *regression(10), None)
    work = training.batches(net, data, 10, net.rule)
    with pytest.raises(ValueError, match="targets has shape"):
        work.bind(data.x, Source(np.ones((9, 2))), None, 10)
    work.begin()
    assert work.run(1) and (work.rows, work.steps) == (10, 1)
