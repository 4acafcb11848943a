"""Networks with residual blocks and branches, and what they compute by the references."""

import numpy as np
import reference

import cnet
from cnet.layers import layer_names

Act, BN, LN = cnet.Activation, cnet.BatchNormalization, cnet.LayerNormalization
D, P, R = cnet.Dense, cnet.Parallel, cnet.Residual

INPUTS = 5
# Made anew for every network. Smooth, so that differences mean something everywhere.
NETWORKS = {
    "residual": lambda: [D(6, "tanh"), R([D(7, "tanh"), D(6)]), D(3)],
    "residual of the data": lambda: [R([D(4, "gelu"), D(5)]), D(3)],
    "residual of one activated layer": lambda: [R(D(5, "sigmoid")), R(D(5, "silu")), D(3)],
    "residual at the end": lambda: [D(3), R([D(4, "tanh"), D(3)])],
    "shortcut": lambda: [D(6, "tanh"), R([D(7, "tanh"), D(4)], shortcut=D(4)), D(3)],
    "long shortcut": lambda: [R([D(4)], shortcut=[D(6, "gelu"), D(4, "tanh")]), D(3)],
    "before and after": lambda: [R([LN(), D(6, "gelu"), D(5)]), R([BN(), Act("tanh"), D(5)]), D(3)],
    "dropped": lambda: [
        R([cnet.Dropout(0.4), D(6, "tanh"), cnet.GaussianDropout(0.3), D(5)]), D(3)
    ],
    "noise first": lambda: [D(5), R([cnet.GaussianNoise(0.5), D(5)]), D(3)],
    "sum": lambda: [P([D(4, "tanh"), [D(6, "gelu"), D(4)], D(4, "sigmoid")]), D(3)],
    "concat": lambda: [P([D(2, "tanh"), [], [D(6, "gelu"), D(3)]], merge="concat"), D(3)],
    "product": lambda: [P([D(4, "sigmoid"), D(4, "tanh")], merge="mul"), D(3)],
    "product of four": lambda: [D(4, "tanh"), P([[], D(4), Act("gelu"), D(4)], "mul"), D(3)],
    "concat at the end": lambda: [D(4, "tanh"), P([D(1), D(2, "tanh")], "concat")],
    "nothing but the input": lambda: [P([[], [], []]), P([[], []], "mul"), P([[], []], "concat")],
    "its square": lambda: [D(4, "tanh"), P([[], []], "mul"), P([[], D(4, "tanh"), []]), D(3)],
    "many readers": lambda: [
        D(5, "tanh"), P([Act("tanh"), LN(), cnet.Dropout(0.2), BN(), [], D(5)]), D(3)
    ],
    "nested": lambda: [
        P([[D(4, "gelu"), R([P([D(3, "tanh"), [], D(4)], "concat"), D(4)])], R(D(5))], "concat"),
        R([R([R([D(9, "tanh")]), BN()]), P([[], D(9, "tanh")], "mul")]),
        P([[R([D(4, "tanh"), D(9)])], [P([[], R(D(9, "tanh"))])]]),
        D(3),
    ],
}  # fmt: skip
DRAWS = {name for name in NETWORKS if name in ("dropped", "noise first", "many readers")}
NORMALISES = {"before and after", "many readers", "nested"}


def network(name: str, dtype: str = "float64", seed: int = 3, inputs: int = INPUTS):
    """Return a built and compiled network whose parameters are nobody's first values."""
    net = cnet.Sequential(NETWORKS[name](), seed=seed, dtype=dtype).build(inputs)
    net.compile(cnet.SGD(learning_rate=0.0), "mse")
    rng = np.random.default_rng(seed)
    for values in net.parameters.values():
        limit = 0.5 if values.ndim == 1 else 1.2 / np.sqrt(values.shape[0])
        values[...] = rng.uniform(-limit, limit, values.shape)
    for key, values in (net.parameters | net.buffers).items():
        if key.endswith(("gamma", "variance")):
            values[...] = rng.uniform(0.5, 1.5, values.shape)
    return net


def rows_for(net, rows: int, seed: int = 4):
    """Return (x, dy) in the network's dtype."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, net.built.core.inputs))
    dy = rng.uniform(0.2, 1.5, (rows, net.built.outputs)) * rng.choice([-1, 1], net.built.outputs)
    return x.astype(net.dtype), dy.astype(net.dtype)


def outputs(net, x):
    """What the network predicts for x, in float64 by tests/reference.py."""
    return _follow(net, net.layers, "", x.astype(np.float64))


def _follow(net, layers, within, h):
    for layer, name in zip(layers, layer_names(layers), strict=True):
        h = _one(net, layer, within + name, h)
    return h


def _one(net, layer, name, h):
    if layer.kind in ("residual", "parallel"):
        names, ends = iter(layer_names(layer.inner)), []
        for _, branch in layer.parts:
            end = h
            for inner in branch:
                end = _one(net, inner, f"{name}.{next(names)}", end)
            ends.append(end)
        return reference.LAYERS[getattr(layer, "merge", "add")](ends, None, None, None, None)
    own = {
        key.rpartition(".")[2]: values.astype(np.float64)
        for key, values in (net.parameters | net.buffers).items()
        if key.rpartition(".")[0] == name
    }
    if layer.kind == "batch_normalization":
        h = (h - own["moving_mean"]) / np.sqrt(own["moving_variance"] + layer.epsilon)
        return h * own["gamma"] + own["beta"]
    w, b = own.get("weight", own.get("gamma")), own.get("bias", own.get("beta"))
    f = getattr(layer, "activation", None)
    kind = {"gaussiannoise": "gaussian_noise", "gaussiandropout": "gaussian_dropout"}
    row = reference.LAYERS[kind.get(layer.kind, layer.kind)]
    return row(h, f and f.name, (f and f.alpha) or 0.0, w, b)
