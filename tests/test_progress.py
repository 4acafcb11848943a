"""What a run says while it goes, and its history afterwards."""

import contextlib
import io
import sys

import numpy as np
import pytest
from networks import classes, classifier, linear, refused, regression, regressor, rows

import cnet
from cnet.progress import Progress


class Terminal(io.StringIO):
    """A terminal: keeps what was written, and every piece of it."""

    def __init__(self):
        super().__init__()
        self.pieces = []

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.pieces.append(text)
        return super().write(text)

    def screen(self) -> str:
        """What one would see: a carriage return starts the line over."""
        lines = [[]]
        column = 0
        for character in self.getvalue():
            if character == "\n":
                lines.append([])
                column = 0
            elif character == "\r":
                column = 0
            else:
                lines[-1][column : column + 1] = character
                column += 1
        return "\n".join("".join(line).rstrip() for line in lines)


STREAMS = {"terminal": Terminal, "file": io.StringIO}
each_stream = pytest.mark.parametrize("stream_type", STREAMS.values(), ids=STREAMS)


def fit(stream, net, *data, **settings) -> cnet.History:
    """Train with standard error going elsewhere (pytest sets its own after the fixtures)."""
    with contextlib.redirect_stderr(stream):
        return net.fit(*(data or regression()), **settings)


@pytest.fixture
def clock(monkeypatch):
    """Time that passes only when a test says so."""

    class Clock:
        now = 1000.0

        def monotonic(self):
            return self.now

        def perf_counter(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(cnet.progress, "time", clock)
    return clock


# ---- through fit ---------------------------------------------------------------------------------


@pytest.mark.parametrize("verbose", ["auto", 1, True])
def test_a_terminal_gets_one_live_line(verbose):
    terminal = Terminal()
    history = fit(terminal, regressor(), epochs=30, verbose=verbose)
    text = terminal.getvalue()
    assert text.count("\n") == 1 and text.endswith("\n")
    assert 1 <= text.count("\r") == len(terminal.pieces) - 1 <= 30
    assert all(piece.startswith("\r") for piece in terminal.pieces[:-1])
    assert "epoch 30/30" in terminal.screen()
    assert f"loss {history['loss'][-1]:.4g}" in terminal.screen()


@pytest.mark.parametrize("verbose", ["auto", 1])
@pytest.mark.parametrize("epochs", [1, 2, 9, 10, 11, 1000, 1009])
def test_a_file_gets_a_few_lines_however_long_the_run(epochs, verbose):
    file = io.StringIO()
    history = fit(file, linear(4, 2), epochs=epochs, batch_size=None, verbose=verbose)
    lines = file.getvalue().splitlines()
    assert "\r" not in file.getvalue()
    assert min(epochs, 5) <= len(lines) <= 12
    assert lines[0].startswith(f"epoch 1/{epochs} loss {history['loss'][0]:.4g}")
    assert lines[-1].startswith(f"epoch {epochs}/{epochs} loss {history['loss'][-1]:.4g}")


@each_stream
def test_a_line_per_epoch_where_it_is_asked_for(stream_type):
    stream = stream_type()
    fit(stream, regressor(metrics=["mae"]), epochs=25, validation_split=0.2, verbose=2)
    lines = stream.getvalue().splitlines()
    assert [line.split()[1] for line in lines] == [f"{i}/25" for i in range(1, 26)]
    for name in ("loss", "mae", "val_loss", "val_mae"):
        assert all(f" {name} " in line for line in lines)
    assert "\r" not in stream.getvalue()


@pytest.mark.parametrize("verbose", [0, False])
def test_nothing_is_written_where_nothing_is_wanted(capfd, verbose):
    net, terminal = classifier(), Terminal()
    fit(terminal, net, *classes(), epochs=20, validation_split=0.2, verbose=verbose)
    net.evaluate(*classes())
    net.predict(classes()[0])
    assert terminal.getvalue() == ""
    assert capfd.readouterr() == ("", "")


def test_standard_output_is_left_alone(capfd):
    regressor().fit(*regression(), epochs=3)
    written = capfd.readouterr()
    assert written.out == "" and written.err.count("\n") == 3


@pytest.mark.parametrize("verbose", ["auto", 1, 2])
def test_a_program_without_standard_error(verbose):
    assert len(fit(None, regressor(), epochs=3, verbose=verbose)) == 3


def test_a_stream_that_knows_nothing_of_terminals():
    class Writer:
        text = ""

        def write(self, text):
            self.text += text

        def flush(self):
            pass

    writer = Writer()
    fit(writer, regressor(), epochs=3)
    assert writer.text.count("\n") == 3


@each_stream
def test_a_run_that_fails_ends_its_line(stream_type):
    stream = stream_type()
    with pytest.raises(cnet.NonFiniteError):
        fit(stream, regressor(cnet.SGD(learning_rate=1e100)), epochs=30, batch_size=None)
    assert "/30 loss" in stream.getvalue()
    assert stream.getvalue().endswith("\n")


# ---- the line itself -----------------------------------------------------------------------------


def test_the_live_line_shows_the_part_of_an_epoch_and_the_time_left(clock):
    stream = Terminal()
    progress = Progress(4, "auto", stream)
    progress.step(1, 0.25, 3.14159265)
    assert stream.getvalue() == ""  # too soon to be worth a line
    clock.now += 10
    progress.step(1, 0.5, 3.14159265)
    assert stream.screen() == "epoch 1/4 [##########          ] loss 3.142, 70.0 s left"
    clock.now += 0.05
    progress.step(1, 0.75, 2.0)
    assert "loss 3.142" in stream.screen()
    clock.now += 9.95
    progress.epoch(1, {"loss": 1.5, "accuracy": 0.25, "seconds": 20.0})
    assert stream.screen() == "epoch 1/4 loss 1.5, accuracy 0.25, 20.0 s"
    progress.epoch(2, {"loss": 1.25})
    assert "epoch 1/4" in stream.screen()  # epochs that follow at once do not each get a line
    progress.close()
    assert stream.screen() == "epoch 2/4 loss 1.25, 20.0 s\n"


def test_where_nobody_knows_how_many_batches_there_will_be_they_are_counted(clock):
    stream = Terminal()
    progress = Progress(4, "auto", stream)
    clock.now += 10
    progress.step(1, None, 3.14159265, 120)
    assert stream.screen() == "epoch 1/4 batch 120, loss 3.142"


@pytest.mark.parametrize(
    ("seconds", "text"), [(12, "12.0 s"), (754, "12 min 34 s"), (2 * 3600 + 300, "2 h 05 min")]
)
def test_times_are_written_for_people(clock, seconds, text):
    stream = Terminal()
    progress = Progress(1, 1, stream)
    clock.now += seconds
    progress.epoch(1, {"loss": 0.0})
    assert stream.screen().endswith(f", {text}")


def test_painting_is_rarer_than_slices(clock):
    stream = Terminal()
    progress = Progress(1, 1, stream)
    for i in range(1000):
        clock.now += 0.01
        progress.step(1, i / 1000, 1.0)
    assert 90 <= len(stream.pieces) <= 110


def test_a_line_is_cut_where_the_terminal_ends():
    stream = Terminal()
    progress = Progress(1, 1, stream)
    progress.epoch(1, {f"a_metric_with_a_long_name_{i}": 1.0 for i in range(10)})
    assert len(stream.screen()) == 79


def test_closing_says_how_a_run_ended():
    for stream, verbose, expected in (
        (Terminal(), 1, "\nended\n"),
        (io.StringIO(), 2, "ended\n"),
        (io.StringIO(), 0, ""),
    ):
        progress = Progress(2, verbose, stream)
        progress.epoch(1, {"loss": 1.0})
        progress.close("ended")
        assert stream.getvalue().endswith(expected)
        assert bool(stream.getvalue()) == bool(expected)


# ---- history -------------------------------------------------------------------------------------


@pytest.fixture
def history():
    net = regressor(metrics=["mae"])
    return net.fit(*regression(), epochs=3, validation_data=regression(n=8), verbose=0)


def test_a_history_has_a_list_per_quantity(history):
    assert list(history) == history.keys() == ["loss", "mae", "val_loss", "val_mae", "seconds"]
    for name in history:
        values = history[name]
        assert isinstance(values, list) and len(values) == len(history) == 3
        assert all(type(value) is float for value in values)
    assert all(seconds > 0 for seconds in history["seconds"])
    assert "loss" in history and "accuracy" not in history
    assert not history.interrupted
    with refused(KeyError, "no 'accuracy' in this history", "loss, mae, val_loss, val_mae"):
        history["accuracy"]


def test_a_history_as_arrays(history):
    arrays = history.to_dict()
    assert list(arrays) == history.keys()
    for name, values in arrays.items():
        assert values.dtype == np.float64 and values.tolist() == history[name]


def test_a_history_with_gaps():
    history = cnet.History([{"loss": 2.0}, {"loss": 1.0, "val_loss": 3.0}])
    assert np.isnan(history["val_loss"][0]) and history["val_loss"][1] == 3
    assert np.isnan(history.to_dict()["val_loss"][0])


def test_a_history_prints_as_a_table(history):
    lines = repr(history).splitlines()
    assert lines[0].split() == ["epoch", *history.keys()]
    assert [line.split()[0] for line in lines[1:]] == ["1", "2", "3"]
    assert lines[1].split()[1] == f"{history['loss'][0]:.4g}"
    assert len({len(line) for line in lines}) == 1


def test_a_long_history_prints_a_short_table():
    history = cnet.History([{"loss": 1 / (i + 1)} for i in range(1000)])
    lines = repr(history).splitlines()
    assert len(lines) <= 14
    assert lines[1].split()[0] == "1" and lines[-1].split() == ["1000", "0.001"]


def test_an_empty_history_says_so():
    assert repr(cnet.History()) == "History: no epoch"
    with refused(KeyError, "no 'loss'", "no epoch"):
        cnet.History()["loss"]


def test_what_is_given_out_is_a_copy(history):
    history["loss"].clear()
    history.rows[0].clear()
    history.to_dict()["loss"][:] = 0
    assert len(history["loss"]) == 3 and history["loss"][0] > 0


@pytest.fixture
def pyplot():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    yield pyplot
    pyplot.close("all")


def test_a_history_draws_itself(pyplot, history):
    axes = history.plot()
    labels = [[line.get_label() for line in panel.lines] for panel in axes]
    assert labels == [["loss", "val_loss"], ["mae", "val_mae"]]
    for panel in axes:
        for line in panel.lines:
            assert list(line.get_xdata()) == [1, 2, 3]
            assert list(line.get_ydata()) == history[line.get_label()]
    axes[0].figure.savefig(io.BytesIO())


def test_a_history_draws_where_it_is_told(pyplot, history):
    given = pyplot.subplots(1, 2)[1]
    assert history.plot(given) is given
    assert len(given[0].lines) == 2
    cnet.History().plot(given)


def test_drawing_needs_matplotlib(monkeypatch, history):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with refused(ImportError, "pip install matplotlib"):
        history.plot()


def test_the_history_of_a_network_is_that_of_its_last_run():
    net = linear(4, 2)
    assert len(net.history) == 0
    x, y = rows(8, 4), rows(8, 2)
    assert net.fit(x, y, epochs=2, verbose=0) is net.history
    second = net.fit(x, y, epochs=3, verbose=0)
    assert net.history is second and len(second) == 3
