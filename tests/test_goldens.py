"""Worked examples and short trainings, to the digits that other programs reached.

``golden/worked_examples.json`` has textbook examples recomputed in float64;
``golden/networks.json`` has trainings by PyTorch (see ``golden/make_goldens.py``).
"""

import numpy as np
import pytest
from golden import TOLERANCE, assert_close, load, size_of

import cnet

WORKED = load("worked_examples")
NETWORKS = load("networks")["networks"]
DTYPES = ["float32", "float64"]


def assert_equals(actual, expected, what: str = "") -> None:
    """To 1e-9 of each element's own size."""
    assert_close(actual, expected, np.abs(np.asarray(expected)), 1e-9, what)


def sigmoid_network(inputs: int, *weights, use_bias: bool) -> cnet.Sequential:
    """A float64 network of sigmoid layers with the given weights (and biases, in turn)."""
    matrices = weights[::2] if use_bias else weights
    layers = [cnet.Dense(np.shape(w)[1], "sigmoid", use_bias=use_bias) for w in matrices]
    net = cnet.Sequential(layers, dtype="float64")
    net.build(inputs)
    net.set_weights([np.array(weight, np.float64) for weight in weights])
    return net


# ---- Mazur: 2-2-2, one row -----------------------------------------------------------------

MAZUR_X = np.array([[0.05, 0.10]])
MAZUR_T = np.array([[0.01, 0.99]])


def mazur_network(state: dict) -> cnet.Sequential:
    parameters = (state[name] for name in ("w1", "b1", "w2", "b2"))
    net = sigmoid_network(2, *parameters, use_bias=True)
    net.compile(optimizer=cnet.SGD(learning_rate=0.5), loss="quadratic")
    return net


def mazur_backward(net: cnet.Sequential, loss) -> np.ndarray:
    outputs = net.forward(MAZUR_X)
    net.zero_gradients()
    net.backward(loss.gradient(outputs, MAZUR_T))
    return outputs


def check_mazur(net: cnet.Sequential, state: dict) -> None:
    """Every stored number. With one row a unit's delta is the gradient of its bias."""
    parameters, gradients = net.parameters, net.gradients
    loss = cnet.losses.get("quadratic")
    outputs = mazur_backward(net, loss)
    first = sigmoid_network(
        2, parameters["dense_1.weight"], parameters["dense_1.bias"], use_bias=True
    )
    found = {
        "hidden": first.forward(MAZUR_X)[0],
        "output": outputs[0],
        "loss": loss(outputs, MAZUR_T),
        "w1": parameters["dense_1.weight"],
        "b1": parameters["dense_1.bias"],
        "w2": parameters["dense_2.weight"],
        "b2": parameters["dense_2.bias"],
        "delta_hidden": gradients["dense_1.bias"],
        "delta_output": gradients["dense_2.bias"],
        "dw1": gradients["dense_1.weight"],
        "dw2": gradients["dense_2.weight"],
    }
    assert found.keys() == state.keys()
    for name, value in found.items():
        assert_equals(value, state[name], name)


def test_mazur_with_fixed_biases():
    states = WORKED["mazur"]["biases_fixed"]
    net = mazur_network(states["0"])
    loss = cnet.losses.get("quadratic")
    biases = [net.gradients[name] for name in ("dense_1.bias", "dense_2.bias")]
    for step in range(10001):
        if str(step) in states:
            check_mazur(net, states[str(step)])
        mazur_backward(net, loss)
        for bias in biases:
            bias[:] = 0.0
        net.apply_gradients()


def test_mazur_with_trained_biases():
    states = WORKED["mazur"]["biases_trained"]
    net = mazur_network(states["0"])
    loss = cnet.losses.get("quadratic")
    for step in range(10001):
        if str(step) in states:
            check_mazur(net, states[str(step)])
        mazur_backward(net, loss)
        net.apply_gradients()


def test_mazur_with_trained_biases_by_fit():
    states = WORKED["mazur"]["biases_trained"]
    net = mazur_network(states["0"])
    check_mazur(net, states["0"])
    # The check leaves gradients behind, which fit must not count in.
    first = net.fit(MAZUR_X, MAZUR_T, epochs=1, batch_size=1, shuffle=False, verbose=0)
    assert_equals(first["loss"], [states["0"]["loss"]])
    check_mazur(net, states["1"])
    net.fit(MAZUR_X, MAZUR_T, epochs=9999, batch_size=1, shuffle=False, verbose=0)
    check_mazur(net, states["10000"])


# ---- iamtrask: four rows, no bias; a sum over the rows is 4 times cnet's mean -----------------


def train_repeatedly(net: cnet.Sequential, x, y, steps: int) -> None:
    """`steps` full-batch steps in one epoch: the same four rows again and again."""
    rows = len(x)
    net.fit(np.tile(x, (steps, 1)), np.tile(y, (steps, 1)), epochs=1, batch_size=rows,
            shuffle=False, verbose=0)


def test_iamtrask_one_layer():
    case = WORKED["iamtrask_one_layer"]
    x, y = np.array(case["x"]), np.array(case["y"])[:, None]
    net = sigmoid_network(3, case["w0"], use_bias=False)
    net.compile(optimizer=cnet.SGD(learning_rate=4.0), loss="quadratic")
    net.fit(x, y, epochs=case["steps"] - 1, batch_size=None, shuffle=False, verbose=0)
    assert_equals(net.predict(x)[:, 0], case["output_at_last_forward"])
    net.fit(x, y, epochs=1, batch_size=None, shuffle=False, verbose=0)
    assert_equals(net.predict(x)[:, 0], case["output"])
    assert_equals(net.parameters["dense_1.weight"], case["w"])


def test_iamtrask_two_layers():
    """The listed errors are after so many updates; the outputs precede update 60000."""
    case = WORKED["iamtrask_two_layer"]
    x, y = np.array(case["x"]), np.array(case["y"])[:, None]
    net = sigmoid_network(3, case["w1_0"], case["w2_0"], use_bias=False)
    net.compile(optimizer=cnet.SGD(learning_rate=4.0), loss="quadratic")
    done = 0
    for step, error in case["mean_abs_error_at_step"].items():
        if int(step) > done:
            train_repeatedly(net, x, y, int(step) - done)
            done = int(step)
        assert_equals(np.abs(net.predict(x) - y).mean(), error, f"step {step}")
    train_repeatedly(net, x, y, 59999 - done)
    assert_equals(net.predict(x)[:, 0], case["output_at_last_forward"])


# ---- log-loss with an L2 term, one row ---------------------------------------------------------


def test_log_loss_with_l2():
    case = WORKED["log_loss_with_l2"]
    x, y = np.array([[0.6, 0.8, 0.7]]), np.array([[0.0]])
    net = sigmoid_network(3, case["w1"], [0.1, 0.1], case["w2"], [1.0], use_bias=True)
    net.compile(optimizer=cnet.SGD(learning_rate=0.1), loss="binary_crossentropy")
    first = sigmoid_network(3, case["w1"], [0.1, 0.1], use_bias=True)
    assert_equals(first.forward(x), case["hidden"])

    outputs = net.forward(x)
    assert_equals(outputs, case["output"])
    net.zero_gradients()
    net.backward(cnet.losses.get("binary_crossentropy").gradient(outputs, y))
    for name in ("dense_1.weight", "dense_2.weight"):
        net.gradients[name][:] += 0.1 * net.parameters[name]
    net.apply_gradients()

    assert_equals(net.parameters["dense_1.weight"], case["w1_after"])
    assert_equals(net.parameters["dense_2.weight"], case["w2_after"])
    assert_equals(net.parameters["dense_1.bias"], case["b1_after"][0])
    assert_equals(net.parameters["dense_2.bias"], case["b2_after"][0])
    assert_equals(net.predict(x), [[case["p_after"]]])


# ---- ten steps of PyTorch ------------------------------------------------------------------------


def golden_network(golden: dict, dtype: str) -> cnet.Sequential:
    layers = [cnet.Dense(layer["units"], layer["activation"]) for layer in golden["layers"]]
    net = cnet.Sequential(layers, dtype=dtype)
    net.build(golden["inputs"])
    optimizer = getattr(cnet, golden["optimizer"])(**golden["kwargs"])
    net.compile(optimizer=optimizer, loss=golden["loss"])
    for name, value in golden["weights"].items():
        net.parameters[name][:] = value
    return net


def golden_batches(golden: dict, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Inputs (10, B, I) and targets (10, B, K), or int64 labels (10, B)."""
    labels = golden["loss"].startswith("sparse")
    x, y = golden["batches"]["x"], golden["batches"]["y"]
    return np.array(x, dtype), np.array(y, np.int64 if labels else dtype)


def check_weights(net: cnet.Sequential, expected: dict, dtype: str, what: str) -> None:
    assert net.parameters.keys() == expected.keys()
    for name, value in expected.items():
        assert_close(net.parameters[name], value, size_of(value), TOLERANCE[dtype],
                     f"{name} {what}")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("golden", NETWORKS, ids=lambda golden: golden["name"])
def test_training_step_by_step(golden, dtype):
    net = golden_network(golden, dtype)
    expected = golden[dtype]
    for step, (x, y) in enumerate(zip(*golden_batches(golden, dtype), strict=True), 1):
        loss = net.train_on_batch(x, y)["loss"]
        stored = expected["losses"][step - 1]
        assert_close(loss, stored, abs(stored), TOLERANCE[dtype], f"loss of step {step}")
        if step == 1:
            check_weights(net, expected["after_1"], dtype, "after step 1")
    check_weights(net, expected["after_10"], dtype, "after step 10")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("golden", NETWORKS, ids=lambda golden: golden["name"])
def test_training_by_fit(golden, dtype):
    """One epoch of the ten batches in order; its loss is the mean of theirs."""
    net = golden_network(golden, dtype)
    x, y = golden_batches(golden, dtype)
    history = net.fit(np.concatenate(x), np.concatenate(y), epochs=1, batch_size=x.shape[1],
                      shuffle=False, verbose=0)
    mean = np.mean(golden[dtype]["losses"])
    assert_close(history["loss"], [mean], mean, TOLERANCE[dtype], "loss of the epoch")
    check_weights(net, golden[dtype]["after_10"], dtype, "after the epoch")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("golden", NETWORKS, ids=lambda golden: golden["name"])
def test_training_by_hand(golden, dtype):
    """Forward, loss, backward and update called one by one, nothing merged."""
    net = golden_network(golden, dtype)
    loss = cnet.losses.get(golden["loss"])
    for step, (x, y) in enumerate(zip(*golden_batches(golden, dtype), strict=True), 1):
        outputs = net.forward(x)
        stored = golden[dtype]["losses"][step - 1]
        assert_close(loss(outputs, y), stored, abs(stored), TOLERANCE[dtype], f"step {step}")
        net.zero_gradients()
        net.backward(loss.gradient(outputs, y))
        net.apply_gradients()
    check_weights(net, golden[dtype]["after_10"], dtype, "after step 10")
