"""Runs with augmentation and with parts in the user's own Python, cut and continued."""

import pytest
from networks import classes
from test_resume import cut_and_resumed, network_of_seed

import cnet


def test_augmented_rows(tmp_path):
    augment = [cnet.augment.Noise(0.1), cnet.augment.SwapFeatures(0.2), cnet.augment.Mixup(0.3)]
    cut_and_resumed(tmp_path, network_of_seed, [4, 9], augment=augment)
    x, y = classes()
    with pytest.raises(ValueError, match=r"augment is .*Noise"):
        network_of_seed(5).fit(
            x, y, epochs=3, batch_size=8, validation_split=0.2, resume=tmp_path / "run",
            augment=augment[:1],
        )  # fmt: skip


class Heavy(cnet.custom.Optimizer):
    """Momentum, in Python."""

    states = 1
    friction: float = 0.9

    def update(self, parameter, gradient, states, step, learning_rate):
        states[0][...] = self.friction * states[0] + gradient
        parameter -= learning_rate * states[0]


class Doubled(cnet.custom.Activation):
    factor: float = 2.0

    def forward(self, x):
        return self.factor * x

    def backward(self, x, y, dy):
        return self.factor * dy


def test_parts_of_the_users_own(tmp_path):
    def make(seed, factor=1.5):
        layers = [cnet.Dense(5, Doubled(factor=factor)), cnet.Dense(3, "softmax")]
        net = cnet.Sequential(layers, seed=seed)
        return net.compile(Heavy(learning_rate=0.05), "sparse_categorical_crossentropy")

    net = cut_and_resumed(tmp_path, make, [4])
    assert net.rule.states.any()
    with pytest.raises(ValueError, match=r"layer 1 is .*factor=3\.0"):
        make(5, 3.0).fit(*classes(), resume=tmp_path / "run", verbose=0)
