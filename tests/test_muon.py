"""Muon: orthogonal steps of hidden matrices, by the iteration in NumPy and by torch's own."""

import copy
import pickle

import numpy as np
import pytest
from networks import regression, snapshot

import cnet

each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
TOLERANCE = {"float32": 2e-5, "float64": 1e-12}
SETTINGS = {"learning_rate": 0.03, "momentum": 0.9, "adamw_factor": 0.1, "weight_decay": 0.1}
# Wide, tall and square hidden matrices, and one of a single unit.
UNITS = (6, 11, 9, 9, 1, 5)


def made(optimizer=None, dtype="float64", units=UNITS, seed=2):
    net = cnet.Sequential([cnet.Dense(n, "tanh") for n in (*units, 2)], seed=seed, dtype=dtype)
    return net.build(4).compile(optimizer or cnet.Muon(**SETTINGS), "mse")


def hidden(net) -> list[str]:
    names = [name for name in net.parameters if name.endswith("weight")]
    return names[1:-1]


def orthogonal(u: np.ndarray) -> np.ndarray:
    """Five iterations of Jordan's quintic, on the transpose where that is the wide one."""
    x = u.T if u.shape[0] > u.shape[1] else u
    x = x / max(np.linalg.norm(x), 1e-7)
    for _ in range(5):
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x.T if u.shape[0] > u.shape[1] else x


class Reference:
    """One hidden matrix, stepped in float64."""

    def __init__(self, w, rate, momentum, decay=0.0):
        self.w, self.v = w.astype(np.float64), np.zeros(w.shape)
        self.rate, self.momentum, self.decay = rate, momentum, decay

    def step(self, g) -> np.ndarray:
        self.v = self.momentum * self.v + (1 - self.momentum) * g
        u = (1 - self.momentum) * g + self.momentum * self.v
        ratio = max(1, self.w.shape[1] / self.w.shape[0]) ** 0.5
        self.w = self.w * (1 - self.rate * self.decay) - self.rate * ratio * orthogonal(u)
        return self.w


@each_dtype
def test_hidden_matrices_step_by_the_formula_and_the_others_by_adamw(dtype):
    net = made(dtype=dtype)
    other = made(
        cnet.AdamW(learning_rate=0.03 * 0.1, beta_2=0.95, epsilon=1e-10, weight_decay=0.1), dtype
    )
    references = {n: Reference(net.parameters[n], 0.03, 0.9, 0.1) for n in hidden(net)}
    assert len(references) == 5
    rng = np.random.default_rng(1)
    for _ in range(4):
        for name in net.gradients:
            g = rng.standard_normal(net.gradients[name].shape).astype(dtype)
            net.gradients[name][:] = other.gradients[name][:] = g
            if name in references:
                references[name].step(g.astype(np.float64))
        net.apply_gradients()
        other.apply_gradients()
    for name, values in net.parameters.items():
        expected = references[name].w if name in references else other.parameters[name]
        np.testing.assert_allclose(values, expected, rtol=0, atol=TOLERANCE[dtype], err_msg=name)


@each_dtype
@pytest.mark.parametrize("shape", [(3, 3), (40, 40), (300, 17), (17, 300), (130, 257)])
def test_a_step_is_orthogonal_up_to_the_iterations_slack(shape, dtype):
    net = cnet.Sequential(
        [cnet.Dense(shape[0], inputs=2), cnet.Dense(shape[1]), cnet.Dense(1)], dtype=dtype, seed=1
    ).compile(cnet.Muon(learning_rate=1.0, momentum=0.0), "mse")
    name = "dense_2.weight"
    before = net.parameters[name].astype(np.float64)
    g = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    net.gradients[name][:] = g
    net.apply_gradients()
    step = (before - net.parameters[name]) / max(1, shape[1] / shape[0]) ** 0.5
    values = np.linalg.svd(step, compute_uv=False)
    # Where the quintic takes singular values, but for those that were near 0.
    assert values.max() < 1.25 and np.median(values) > 0.65
    np.testing.assert_allclose(step, orthogonal(g.astype(float)), atol=20 * TOLERANCE[dtype])


@each_dtype
def test_threads_change_no_bit(dtype):
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((32, 4)).astype(dtype), rng.standard_normal((32, 2)).astype(dtype)
    nets = [made(dtype=dtype, units=(200, 300, 250)) for _ in range(2)]
    for net, threads in zip(nets, (1, 2), strict=True):
        net.fit(x, y, epochs=2, verbose=0, threads=threads)
    assert snapshot(nets[0]) == snapshot(nets[1])


def saved(net, folder):
    cnet.save(net, folder / "net")
    return cnet.load(folder / "net")


@pytest.mark.parametrize(
    "copied",
    [saved, lambda net, _: copy.deepcopy(net), lambda net, _: pickle.loads(pickle.dumps(net))],
)
def test_what_is_continued_has_the_same_bits(copied, tmp_path):
    x, y = regression()
    whole, net = made(), made()
    whole.fit(x, y, epochs=4, verbose=0)
    net.fit(x, y, epochs=2, verbose=0)
    other = copied(net, tmp_path)
    other.fit(x, y, epochs=2, verbose=0)
    assert snapshot(other) == snapshot(whole)


def test_frozen_matrices_stay_and_nothing_else_does():
    x, y = regression()
    net = made()
    net.freeze("dense_3")
    before = snapshot(net)
    net.fit(x, y, verbose=0)
    after = snapshot(net)
    same = {name for name in net.parameters if before[name] == after[name]}
    assert same == {"dense_3.weight", "dense_3.bias"}


@pytest.mark.parametrize("clip", ["clipnorm", "global_clipnorm", "clipvalue"])
def test_gradients_come_clipped(clip):
    limit, rng = 0.5, np.random.default_rng(4)
    net = made(cnet.Muon(**SETTINGS | {"weight_decay": 0.0, clip: limit}))
    references = {n: Reference(net.parameters[n], 0.03, 0.9) for n in hidden(net)}
    # The momentum tells sizes apart, which a step alone does not: so a second one, not to be cut.
    for size in (1.0, 1e-3):
        gradients = {n: size * rng.standard_normal(g.shape) for n, g in net.gradients.items()}
        whole = np.sqrt(sum((g**2).sum() for g in gradients.values()))
        for name, g in gradients.items():
            net.gradients[name][:] = g
            norm = np.linalg.norm(g) if clip == "clipnorm" else whole
            cut = g * min(1.0, limit / (norm + 1e-6))
            if name in references:
                references[name].step(np.clip(g, -limit, limit) if clip == "clipvalue" else cut)
        net.apply_gradients()
    for name, reference in references.items():
        np.testing.assert_allclose(net.parameters[name], reference.w, atol=1e-11)


def test_coupled_decay_is_part_of_the_gradient():
    settings = SETTINGS | {"decoupled_weight_decay": False}
    net, plain = made(cnet.Muon(**settings)), made(cnet.Muon(**SETTINGS | {"weight_decay": 0.0}))
    for name in net.gradients:
        net.gradients[name][:] = g = np.random.default_rng(5).standard_normal(
            net.gradients[name].shape
        )
        plain.gradients[name][:] = g + 0.1 * net.parameters[name]
    net.apply_gradients()
    plain.apply_gradients()
    for name, values in net.parameters.items():
        np.testing.assert_allclose(values, plain.parameters[name], atol=1e-12)


def test_a_schedule_has_its_say():
    x, y = regression()
    settings = SETTINGS | {"learning_rate": cnet.schedules.Polynomial(0.03, 4)}
    net, other = made(cnet.Muon(**settings)), made()
    for step in range(4):
        net.train_on_batch(x, y)
        other.learning_rate = 0.03 * (1 - step / 4)
        other.train_on_batch(x, y)
    assert snapshot(net) == snapshot(other)


def test_it_learns():
    x, y = regression(n=200)
    net = made(cnet.Muon(learning_rate=0.01, adamw_factor=1.0), units=(16, 16, 16))
    losses = net.fit(x, y, epochs=60, verbose=0)["loss"]
    assert losses[-1] < 0.1 * losses[0]


@each_dtype
def test_torchs_own(dtype, monkeypatch):
    """Their code, with the digits of this dtype instead of bfloat16's."""
    torch = pytest.importorskip("torch")
    kind = getattr(torch, dtype)
    monkeypatch.setattr(torch.Tensor, "bfloat16", lambda self: self.to(kind, copy=True))
    net = made(cnet.Muon(learning_rate=0.03, momentum=0.9, weight_decay=0.1), dtype)
    names = hidden(net)
    tensors = [torch.tensor(net.parameters[n].T.copy(), requires_grad=True) for n in names]
    theirs = torch.optim.Muon(tensors, lr=0.03, momentum=0.9, weight_decay=0.1)
    rng = np.random.default_rng(6)
    for _ in range(5):
        for name, tensor in zip(names, tensors, strict=True):
            net.gradients[name][:] = rng.standard_normal(net.gradients[name].shape)
            tensor.grad = torch.tensor(net.gradients[name].T.copy())
        net.apply_gradients()
        theirs.step()
    for name, tensor in zip(names, tensors, strict=True):
        np.testing.assert_allclose(
            net.parameters[name], tensor.detach().numpy().T, rtol=0, atol=TOLERANCE[dtype]
        )
