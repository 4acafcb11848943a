"""Files of checkpoints: when they are written, which stay, and which are refused."""

import json
import pathlib
import random

import numpy as np
import pytest
from networks import Unchanged, refused, regression, regressor, snapshot
from runs import FIT, Diary

import cnet
from cnet.callbacks import Callback, Checkpoint, EarlyStopping, ReduceOnPlateau


def trained(folder, *callbacks, net=None, **settings):
    """Return a network after a run of 5 batches per epoch with a checkpoint."""
    net = regressor("adam", seed=3) if net is None else net
    checkpoint = Checkpoint(folder, **{"keep": None} | settings)
    net.fit(*regression(), epochs=3, callbacks=[checkpoint, *callbacks], **FIT)
    return net


def numbers(folder):
    """Return the numbers of the checkpoints of a folder, where there must be nothing else."""
    names = sorted(path.name for path in folder.iterdir())
    assert all(len(name) == len("checkpoint-000001.cnet") for name in names)
    return [int(name.removeprefix("checkpoint-").removesuffix(".cnet")) for name in names]


def steps(folder):
    """Return after which steps the checkpoints of a folder were written."""
    return [int(cnet.load(path).rule.running[0]) for path in sorted(folder.iterdir())]


# ---- when, and which stay ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [5, 10, 15]),
        ({"epochs": 2}, [10, 15]),
        ({"epochs": 9}, [15]),
        ({"every": 4}, [4, 8, 12, 15]),
        ({"every": 5}, [5, 10, 15, 15]),  # the last batch, and the end of its epoch
        ({"every": 6, "epochs": 1}, [5, 6, 10, 12, 15]),
        ({"seconds": 1000.0}, [15]),
        ({"keep": 1}, [15]),
        ({"keep": 2}, [10, 15]),
        ({"every": 1, "keep": 3}, [14, 15, 15]),
    ],
)
def test_when_it_writes_and_what_it_keeps(settings, expected, tmp_path):
    folder = tmp_path / "new" / "folder"
    trained(folder, **settings)
    assert steps(folder) == expected
    assert numbers(folder)[-1] >= len(expected)


def test_seconds(tmp_path):
    """At the end of a slice, not of a batch: what comes after 0.001 s comes after every slice."""
    class Slow(Callback):
        every = 1

        def on_batch_end(self, run):
            import time

            time.sleep(0.002)

    trained(tmp_path / "often", Slow(), seconds=0.001)
    assert steps(tmp_path / "often") == [*range(1, 16), 15]


def test_checkpoints_change_no_bit(tmp_path):
    plain = regressor("adam", seed=3)
    plain.fit(*regression(), epochs=3, **FIT)
    assert snapshot(trained(tmp_path, every=1)) == snapshot(plain)


def test_the_size_of_the_files_stays(tmp_path):
    """Only digits of numbers and rows of the history differ, 100 bytes each."""
    net = regressor("adam", metrics=["r2"], seed=3)
    run = [Checkpoint(tmp_path, keep=None), EarlyStopping("loss"), ReduceOnPlateau("loss")]
    net.fit(*regression(), epochs=20, callbacks=run, **FIT)
    sizes = [path.stat().st_size for path in sorted(tmp_path.iterdir())]
    assert len(sizes) == 20
    # {"r2": ..., "loss": ..., "seconds": ...} is quoted twice.
    assert 0 < (sizes[-1] - sizes[5]) / 14 < 130
    cnet.save(net, tmp_path / "network")
    assert sizes[0] < 4 * (tmp_path / "network").stat().st_size


def test_load_reads_the_network(tmp_path):
    net = trained(tmp_path)
    path = tmp_path / "checkpoint-000003.cnet"
    assert snapshot(cnet.load(path)) == snapshot(net)
    safetensors = pytest.importorskip("safetensors.numpy")
    weight = safetensors.load_file(path)["dense_1.weight"]
    assert np.array_equal(weight, net.parameters["dense_1.weight"])


def test_one_of_the_files(tmp_path):
    """From an older one on, the same files come again, with numbers that go on."""
    trained(tmp_path)
    old = [path.read_bytes() for path in sorted(tmp_path.iterdir())]
    net = regressor("adam")
    x, y = regression()
    resume = tmp_path / "checkpoint-000001.cnet"
    net.fit(x, y, epochs=3, callbacks=[Checkpoint(tmp_path, keep=None)], resume=resume, **FIT)
    assert numbers(tmp_path) == [1, 2, 3, 4, 5]
    new = [path.read_bytes() for path in sorted(tmp_path.iterdir())]
    assert new[:3] == old
    assert steps(tmp_path) == [5, 10, 15, 10, 15]


def test_two_folders_at_once(tmp_path):
    x, y = regression()
    for epochs in (2, 4):
        both = [Checkpoint(tmp_path / "a"), Checkpoint(tmp_path / "b", epochs=2, keep=None)]
        net = regressor("adam")
        net.fit(x, y, epochs=epochs, callbacks=both, resume=tmp_path / "a", **FIT)
    assert steps(tmp_path / "a") == [15, 20] and steps(tmp_path / "b") == [10, 20]


def test_what_a_killed_run_has_left_half_written_goes(tmp_path):
    (tmp_path / ".cnet-0123456789abcdef").write_bytes(b"half")
    (tmp_path / "notes.txt").write_text("mine")
    trained(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir())[-1] == "notes.txt"
    assert len(list(tmp_path.iterdir())) == 4


def test_a_write_that_fails_ends_the_run_and_leaves_the_last_file(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(28, "No space left on device")

    class Fill(Callback):
        def on_epoch_begin(self, run):
            if run.epoch == 2:
                monkeypatch.setattr("cnet.files.os.fsync", full)

    with refused(OSError, "No space"):
        trained(tmp_path, Fill())
    monkeypatch.undo()
    assert numbers(tmp_path) == [1] and steps(tmp_path) == [5]


def test_nan_is_not_written(tmp_path):
    """The last good file stays, from which a run with another rate could go on."""
    class Spoil(Callback):
        def on_epoch_end(self, run, figures):
            if run.epoch == 2:
                run.network.parameters["dense_1.weight"][0, 0] = np.nan

    with refused(cnet.NonFiniteError, "dense_1.weight"):
        trained(tmp_path, Spoil())
    assert steps(tmp_path) == [5]


# ---- folders that are not empty ------------------------------------------------------------------


def test_another_runs_folder(tmp_path):
    trained(tmp_path)
    before = [path.read_bytes() for path in sorted(tmp_path.iterdir())]
    net = regressor("adam", seed=3).build(4)
    with Unchanged(net), refused(FileExistsError, "another run", "resume=", "overwrite=True"):
        trained(tmp_path, net=net)
    with refused(FileExistsError, "another run"):
        trained(tmp_path)
    other = tmp_path / "other"
    trained(other)
    with refused(FileExistsError, "another run"):  # goes on with the one, would write to the other
        regressor("adam").fit(
            *regression(), epochs=3, callbacks=[Checkpoint(other)], resume=tmp_path, **FIT
        )
    assert [p.read_bytes() for p in sorted(tmp_path.iterdir()) if p.is_file()] == before
    trained(tmp_path, overwrite=True, epochs=2)
    assert [int(p.stem[-1]) for p in sorted(tmp_path.glob("*.cnet"))] == [4, 5]


def test_overwriting_spares_the_run_that_goes_on(tmp_path):
    x, y = regression()
    for epochs in (1, 2):
        again = [Checkpoint(tmp_path, overwrite=True, keep=None)]
        regressor("adam").fit(x, y, epochs=epochs, callbacks=again, resume=tmp_path, **FIT)
    assert steps(tmp_path) == [5, 10]


def test_nothing_to_go_on_from(tmp_path, capsys):
    plain = regressor("adam", seed=3)
    plain.fit(*regression(), **FIT)
    for resume in (tmp_path, tmp_path / "not" / "there", str(tmp_path)):
        net = regressor("adam", seed=3)
        net.fit(*regression(), resume=resume, **FIT | {"verbose": 2})
        assert snapshot(net) == snapshot(plain)
        assert "no checkpoint in" in capsys.readouterr().err
    with refused(FileNotFoundError, "checkpoint-000009.cnet", "folder"):
        net.fit(*regression(), resume=tmp_path / "checkpoint-000009.cnet")
    with refused(TypeError, "resume", "True"):
        net.fit(*regression(), resume=True)


# ---- damage --------------------------------------------------------------------------------------


def resumed(folder, **settings):
    net = regressor("adam")
    net.fit(*regression(), epochs=3, resume=folder, **FIT | settings)
    return net


DAMAGES = {
    "empty": lambda raw: b"",
    "cut": lambda raw: raw[:-1],
    "half": lambda raw: raw[: len(raw) // 2],
    "longer": lambda raw: raw + b"\0",
    "zeros": lambda raw: bytes(len(raw)),
    "no checksum": lambda raw: raw.replace(b'"checksum":', b'"chucksum":'),
    "a number": lambda raw: raw[:-9] + bytes([raw[-9] ^ 1]) + raw[-8:],
    "a setting": lambda raw: raw.replace(b'\\"shuffle\\": true', b'\\"shuffle\\": null'),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_passed_over(damage, tmp_path):
    net = trained(tmp_path)
    path = tmp_path / "checkpoint-000003.cnet"
    raw = path.read_bytes()
    path.write_bytes(damage(raw))
    assert path.read_bytes() != raw
    with pytest.warns(RuntimeWarning, match="passed over.*checkpoint-000003"):
        again = resumed(tmp_path, callbacks=[Checkpoint(tmp_path)])
    assert snapshot(again) == snapshot(net)
    assert numbers(tmp_path) == [3, 4]
    with refused(cnet.FileFormatError, "checkpoint-000003"):
        resumed(path)
    path.rename(tmp_path / "checkpoint-000004.cnet")
    with pytest.warns(RuntimeWarning), refused(cnet.FileFormatError, "no checkpoint", "readable"):
        resumed(tmp_path)


def test_any_flipped_bit_is_noticed(tmp_path):
    trained(tmp_path, epochs=9)
    (path,) = tmp_path.iterdir()
    raw = path.read_bytes()
    generator = random.Random(0)
    for _ in range(100):
        damaged = bytearray(raw)
        damaged[generator.randrange(len(raw))] ^= 1 << generator.randrange(8)
        path.write_bytes(damaged)
        with pytest.raises(cnet.FileFormatError, match="checkpoint-000001"):
            resumed(path)


def test_a_network_is_no_checkpoint(tmp_path):
    cnet.save(trained(tmp_path / "run"), tmp_path / "network.cnet")
    with refused(cnet.FileFormatError, "network.cnet", "checksum"):
        resumed(tmp_path / "network.cnet")


def rewritten(path, change):
    """Change the description in a file, as nobody does by accident."""
    from cnet import files

    config, arrays = files.decode(path.read_bytes())
    change(config)
    path.write_bytes(b"".join(files.encode(config, arrays, checksum=True)))


LIES = {
    "no sums": lambda run: run.pop("sums"),
    "no epoch": lambda run: run.pop("epoch"),
    "position": lambda run: run.update(position=7),
    "position beyond": lambda run: run.update(position=48),
    "negative": lambda run: run.update(before=-1),
    "metric sums": lambda run: run["sums"]["dict"].update(metric_sums=[[0.0, 0.0]] * 3),
    "history": lambda run: run.update(history=[3]),
    "no callbacks": lambda run: run.update(callbacks=3),
    "array": lambda run: run.update(stopped={"array": "nowhere"}),
    "no dict": lambda run: run.update(fixed=[]),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_headers_that_lie(lie, tmp_path):
    trained(tmp_path, every=7, epochs=9, keep=None)
    path = tmp_path / "checkpoint-000001.cnet"
    rewritten(path, lambda config: lie(config["run"]))
    with refused(cnet.FileFormatError, "checkpoint-000001"):
        resumed(path)


def test_files_are_json_and_arrays(tmp_path):
    """What is in a file is data: nothing that could be executed, and no value hidden elsewhere."""
    trained(tmp_path, EarlyStopping("loss"), epochs=9)
    raw = (tmp_path / "checkpoint-000001.cnet").read_bytes()
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    run = json.loads(header["__metadata__"]["cnet"])["run"]
    assert run["history"][2]["dict"]["loss"] > 0
    assert [name for name in header if name.startswith("run//")] == [
        f"run//callbacks/0/1/_weights/{i}" for i in range(4)
    ]


# ---- settings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "error", "word"),
    [
        ({"folder": None}, TypeError, "folder"),
        ({"every": 0}, ValueError, "every"),
        ({"every": "epoch"}, TypeError, "every"),
        ({"epochs": 0}, ValueError, "epochs"),
        ({"seconds": 0}, ValueError, "seconds"),
        ({"keep": 0}, ValueError, "keep"),
        ({"on_interrupt": "no"}, TypeError, "on_interrupt"),
        ({"overwrite": 1}, TypeError, "overwrite"),
    ],
)
def test_settings_are_checked(settings, error, word):
    with refused(error, word):
        Checkpoint(**{"folder": "run"} | settings)


def test_the_folder_may_be_a_path_or_a_string(tmp_path):
    assert Checkpoint(str(tmp_path)).folder == Checkpoint(tmp_path).folder == pathlib.Path(tmp_path)


def test_seconds_of_any_callback_are_checked(tmp_path):
    callback = Diary()
    callback.seconds = -1
    with refused(ValueError, r"callbacks\[0\].seconds"):
        regressor().fit(*regression(), callbacks=[callback], **FIT)


def test_states_that_cannot_be_kept(tmp_path):
    class Own(Callback):
        def state(self):
            return {"what": [object()]}

    with refused(TypeError, r"callbacks/0/1/what/0", "numbers"):
        trained(tmp_path, Own())
    assert not list(tmp_path.iterdir())
