"""Normalising layers against PyTorch, where it is installed."""

import numpy as np
import pytest
from golden import TOLERANCE, assert_close, size_of

import cnet

torch = pytest.importorskip("torch")
F = torch.nn.functional
each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


@pytest.fixture(autouse=True)
def one_thread():
    """More of them cost far more than tensors as small as these."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def tensor(array, **options):
    return torch.tensor(np.asarray(array), **options)


# Made for the columns of an input; and cnet's layer with the same settings.
NORMS = {
    "LayerNorm": (
        lambda n: torch.nn.LayerNorm(n, eps=1e-3), lambda: cnet.LayerNormalization(epsilon=1e-3),
    ),
    "LayerNorm, no gamma and beta": (
        lambda n: torch.nn.LayerNorm(n, elementwise_affine=False),
        lambda: cnet.LayerNormalization(center=False, scale=False),
    ),
    "BatchNorm1d": (torch.nn.BatchNorm1d, cnet.BatchNormalization),
    "BatchNorm1d, momentum": (
        lambda n: torch.nn.BatchNorm1d(n, eps=1e-3, momentum=0.25),
        lambda: cnet.BatchNormalization(momentum=0.75, epsilon=1e-3),
    ),
    "BatchNorm1d, no gamma and beta": (
        lambda n: torch.nn.BatchNorm1d(n, affine=False),
        lambda: cnet.BatchNormalization(center=False, scale=False),
    ),
}  # fmt: skip
# The unit that rounding errors of a whole network are counted in here.
NORM_TOLERANCE = {"float32": 2e-5, "float64": 1e-10}


def norm_pair(name: str, dtype: str, optimizer):
    """The same network in both: a normalisation of the inputs, and one before an activation."""
    of_torch, of_cnet = NORMS[name]
    twin = torch.nn.Sequential(
        of_torch(6), torch.nn.Linear(6, 11), of_torch(11), torch.nn.Tanh(), torch.nn.Linear(11, 3)
    )
    net = cnet.Sequential([of_cnet(), cnet.Dense(11), of_cnet(), cnet.Activation("tanh"),
                           cnet.Dense(3)], dtype=dtype).build(6)  # fmt: skip
    net.compile(optimizer, "mse")
    rng = np.random.default_rng(11)
    twin.to(getattr(torch, dtype))
    for (key, values), parameter in zip(net.parameters.items(), twin.parameters(), strict=True):
        values[...] = rng.uniform(-0.6, 0.6, values.shape) + key.endswith("gamma")
        parameter.data[...] = tensor(values.T)
    return net, twin


def check_norms(net, twin, dtype: str, what: str) -> None:
    """Parameters and moving statistics."""
    moving = [b for key, b in twin.named_buffers() if "running" in key]
    values = [*net.parameters.values(), *net.buffers.values()]
    expected = [p.T if p.ndim == 2 else p for p in twin.parameters()] + moving
    for found, wanted in zip(values, expected, strict=True):
        wanted = wanted.detach().numpy()
        assert_close(found, wanted, size_of(wanted), NORM_TOLERANCE[dtype], what)


@each_dtype
@pytest.mark.parametrize("name", NORMS)
def test_normalisation(name, dtype):
    """Ten steps with Nesterov's momentum, batches of 32 and a small rest; then inference."""
    net, twin = norm_pair(name, dtype, cnet.SGD(learning_rate=0.05, momentum=0.9, nesterov=True))
    rule = torch.optim.SGD(twin.parameters(), lr=0.05, momentum=0.9, nesterov=True)
    rng = np.random.default_rng(12)
    x, t = (2 * rng.standard_normal((70, 6)) + 1).astype(dtype), rng.standard_normal((70, 3))
    t = t.astype(dtype)
    losses = []
    for _ in range(4):
        for part in (slice(0, 32), slice(32, 64), slice(64, 70)):
            rule.zero_grad()
            loss = F.mse_loss(twin(tensor(x[part])), tensor(t[part]))
            loss.backward()
            rule.step()
            losses.append(loss.item() * (part.stop - part.start) / 70)
    history = net.fit(x, t, batch_size=32, epochs=4, shuffle=False, verbose=0)
    assert_close(history["loss"], np.reshape(losses, (4, 3)).sum(1), 1, TOLERANCE[dtype], "loss")
    check_norms(net, twin, dtype, f"{name} after twelve steps")
    expected = twin.eval()(tensor(x)).detach().numpy()
    assert_close(net.predict(x), expected, size_of(expected), NORM_TOLERANCE[dtype], "inference")


@each_dtype
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", NORMS)
def test_normalisation_by_hand(name, training, dtype):
    """Outputs and the gradients of everything, in both modes."""
    net, twin = norm_pair(name, dtype, "sgd")
    x = (3 * np.random.default_rng(13).standard_normal((20, 6)) - 1).astype(dtype)
    twin.train()(tensor(x))
    net.forward(x, training=True)  # moves the statistics of both
    torch_x = tensor(x, requires_grad=True)
    expected = twin.train(training)(torch_x)
    found = net.forward(x, training=training)
    dy = np.random.default_rng(14).uniform(-1, 2, found.shape).astype(dtype)
    expected.backward(tensor(dy))
    dx = net.backward(dy)
    gradients = [p.grad.T if p.ndim == 2 else p.grad for p in twin.parameters()]
    results = [(found, expected.detach()), (dx, torch_x.grad)]
    results += zip(net.gradients.values(), gradients, strict=True)
    for place, (ours, theirs) in enumerate(results):
        theirs = theirs.numpy()
        # The bias before a batch normalisation has a gradient of 0: what rounding leaves of it is
        # measured by the terms of the sum.
        size = np.maximum(size_of(theirs), 0.5)
        assert_close(ours, theirs, size, NORM_TOLERANCE[dtype], f"{name}, {place}")
    check_norms(net, twin, dtype, f"{name}, moving")
