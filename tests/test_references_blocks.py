"""Residual blocks and branches against PyTorch, where it is installed."""

import numpy as np
import pytest
from golden import TOLERANCE, assert_close, size_of

import cnet

torch = pytest.importorskip("torch")
D, P, R = cnet.Dense, cnet.Parallel, cnet.Residual
each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
# The unit that rounding errors of a whole network are counted in here.
UNIT = {"float32": 2e-5, "float64": 1e-10}


@pytest.fixture(autouse=True)
def one_thread():
    """More of them cost far more than tensors as small as these."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Blocks(torch.nn.Module):
    """The network of `pair`, its layers in the order of cnet's."""

    def __init__(self):
        super().__init__()
        linear, norm = torch.nn.Linear, torch.nn.BatchNorm1d
        self.parts = torch.nn.ModuleList([
            linear(5, 6), norm(6), linear(6, 8), linear(8, 6), linear(6, 4), linear(6, 4),
            linear(6, 3), linear(3, 3), linear(13, 4), linear(13, 4), linear(4, 2),
        ])  # fmt: skip

    def forward(self, x):
        p = self.parts
        h = torch.tanh(p[0](x))
        h = h + p[3](torch.nn.functional.gelu(p[2](p[1](h))))
        left = torch.tanh(p[4](h)) + p[5](h)
        right = p[6](h)
        right = right + torch.sigmoid(p[7](right))
        h = torch.cat([left, h, right], dim=1)
        return p[10](torch.tanh(p[8](h)) * p[9](h))


def pair(dtype, optimizer):
    net = cnet.Sequential(
        [
            D(6, "tanh"),
            R([cnet.BatchNormalization(), D(8, "gelu"), D(6)]),
            P([R(D(4, "tanh"), shortcut=D(4)), [], [D(3), R(D(3, "sigmoid"))]], "concat"),
            P([D(4, "tanh"), D(4)], "mul"),
            D(2),
        ],
        dtype=dtype,
    ).build(5)
    net.compile(optimizer, "mse")
    twin = Blocks().to(getattr(torch, dtype))
    rng = np.random.default_rng(21)
    for (key, values), parameter in zip(net.parameters.items(), twin.parameters(), strict=True):
        values[...] = rng.uniform(-0.6, 0.6, values.shape) + key.endswith("gamma")
        parameter.data[...] = torch.tensor(values.T)
    return net, twin


def data(dtype, rows=70):
    rng = np.random.default_rng(22)
    x = rng.standard_normal((rows, 5)).astype(dtype)
    return x, rng.standard_normal((rows, 2)).astype(dtype)


@each_dtype
def test_outputs_and_gradients(dtype):
    net, twin = pair(dtype, "sgd")
    x, dy = data(dtype, 20)
    torch_x = torch.tensor(x, requires_grad=True)
    expected = twin(torch_x)
    found = net.forward(x, training=True)
    expected.backward(torch.tensor(dy))
    dx = net.backward(dy)
    results = [("y", found, expected.detach()), ("dx", dx, torch_x.grad)]
    for (key, ours), p in zip(net.gradients.items(), twin.parameters(), strict=True):
        results.append((key, ours, p.grad.T if p.ndim == 2 else p.grad))
    for key, ours, theirs in results:
        theirs = theirs.numpy()
        assert_close(ours, theirs, np.maximum(size_of(theirs), 0.5), UNIT[dtype], key)


@each_dtype
def test_training(dtype):
    """Twelve steps of Adam, batches of 32 and a small rest; then inference."""
    net, twin = pair(dtype, cnet.Adam(0.01))
    rule = torch.optim.Adam(twin.parameters(), lr=0.01)
    x, t = data(dtype)
    losses = []
    for _ in range(4):
        for part in (slice(0, 32), slice(32, 64), slice(64, 70)):
            rule.zero_grad()
            loss = torch.nn.functional.mse_loss(twin(torch.tensor(x[part])), torch.tensor(t[part]))
            loss.backward()
            rule.step()
            losses.append(loss.item() * (part.stop - part.start) / 70)
    history = net.fit(x, t, batch_size=32, epochs=4, shuffle=False, verbose=0)
    assert_close(history["loss"], np.reshape(losses, (4, 3)).sum(1), 1, TOLERANCE[dtype], "loss")
    expected = twin.eval()(torch.tensor(x)).detach().numpy()
    assert_close(net.predict(x), expected, size_of(expected), UNIT[dtype], "inference")
