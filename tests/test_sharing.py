"""One network and several threads; attributes that cannot be written; files that are none."""

import os
import threading

import numpy as np
import pytest

import cnet


@pytest.fixture
def net():
    return cnet.Sequential([cnet.Dense(32, "relu"), cnet.Dense(1)], seed=1).build(6)


def in_threads(*calls):
    """Run calls side by side and hand on what one of them raised."""
    errors = []

    def guarded(call):
        try:
            call()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def test_forward_from_two_threads_gives_each_its_own_outputs(net):
    x = np.random.default_rng(0).standard_normal((200, 6)).astype(np.float32)
    expected = net.predict(x)

    def work(stride):
        for k in range(1500):
            rows = (k * stride) % 200 + 1
            outputs = net.forward(x[:rows])
            np.testing.assert_allclose(outputs, expected[:rows], rtol=1e-4, atol=1e-5)

    in_threads(lambda: work(1), lambda: work(7))


def test_backward_beside_forward_neither_crashes_nor_lies(net):
    x = np.ones((50, 6), np.float32)
    expected = net.predict(x)

    def forward():
        for _ in range(1000):
            np.testing.assert_allclose(net.forward(x), expected, rtol=1e-4)

    def backward():
        for _ in range(1000):
            try:
                net.backward(np.zeros((50, 1), np.float32))
            except cnet.NotBuiltError:  # the other thread is inside with the last forward's values
                continue

    net.forward(x)
    in_threads(forward, backward)


def test_a_network_is_trained_by_one_thread_at_a_time(net):
    x, y = np.ones((1000, 6), np.float32), np.ones(1000, np.float32)
    net.compile("sgd", "mse")
    refused = []

    def train():
        try:
            net.fit(x, y, epochs=300, batch_size=8, verbose=0)
        except RuntimeError as error:
            refused.append(str(error))

    in_threads(train, train, train)
    assert refused
    assert all("trained already, by another thread" in message for message in refused)
    net.fit(x, y, verbose=0)  # and afterwards it can be trained again


def test_what_decides_the_memory_cannot_be_written(net):
    for name, value in (("dtype", "float64"), ("seed", 3), ("layers", ()), ("learn_rate", 0.1)):
        with pytest.raises(AttributeError):
            setattr(net, name, value)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_learning_rate_written_in_mid_training_counts_from_the_next_step(net, optimizer):
    x, y = np.ones((8, 6), np.float32), np.ones(8, np.float32)
    net.compile(optimizer, "mse")
    net.fit(x, y, verbose=0)
    steps = net.rule.running[0]
    net.learning_rate = 0
    before = net.get_weights()
    net.fit(x, y, verbose=0)
    for old, new in zip(before, net.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert net.learning_rate == 0
    assert net.rule.running[0] == steps + 1  # the optimizer went on, it was not started afresh
    with pytest.raises(ValueError, match="learning_rate must be finite and at least 0, got -1"):
        net.learning_rate = -1


@pytest.mark.skipif(os.name == "nt", reason="needs pipes with names and links")
def test_save_replaces_ordinary_files_only(net, tmp_path):
    pipe, target, link = tmp_path / "pipe", tmp_path / "target", tmp_path / "link"
    os.mkfifo(pipe)
    with pytest.raises(FileExistsError, match="no ordinary file"):
        cnet.save(net, pipe)
    with pytest.raises(FileExistsError, match="no ordinary file"):
        cnet.save(net, tmp_path)
    target.touch(0o600)
    link.symlink_to(target)
    cnet.save(net, link)
    assert link.is_symlink()
    assert target.stat().st_mode & 0o777 == 0o600
    assert sorted(tmp_path.iterdir()) == [link, pipe, target]
    x = np.ones((1, 6))
    np.testing.assert_array_equal(cnet.load(target).predict(x), net.predict(x))


def test_a_loss_of_probabilities_refuses_outputs_that_are_none():
    net = cnet.Sequential([cnet.Dense(2, "relu")], seed=1).build(3)
    with pytest.raises(ValueError, match=r"dense_1 is relu, which leaves 0\.\.1"):
        net.compile("sgd", "binary_crossentropy")


def test_classes_that_begin_at_one_are_named():
    net = cnet.Sequential([cnet.Dense(3, "softmax")], seed=1)
    net.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match=r"y has classes 1\.\.3, expected 0\.\.2; pass y - 1"):
        net.fit(np.ones((3, 2)), [1, 2, 3], verbose=0)


def test_targets_beyond_the_dtype_are_named():
    net = cnet.Sequential([cnet.Dense(1)], seed=1).compile("sgd", "mse")
    with pytest.raises(cnet.NonFiniteError, match="y holds 1e\\+300, which is infinite in float32"):
        net.fit(np.ones((2, 2)), [1.0, 1e300], verbose=0)
