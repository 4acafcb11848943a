"""Assembling a network, asking it, and taking its passes apart by hand."""

import threading

import numpy as np
import pytest
from networks import classes, classifier, linear, regression, regressor, rows

import cnet

each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


# ---- assembling ----------------------------------------------------------------------------------


def test_parameters_are_named_after_layers_and_shaped_inputs_by_units():
    layers = [cnet.Dense(5), cnet.Activation("tanh"), cnet.Dense(3, name="head"), cnet.Dense(2)]
    net = cnet.Sequential(layers, seed=0).build(4)
    assert {name: values.shape for name, values in net.parameters.items()} == {
        "dense_1.weight": (4, 5),
        "dense_1.bias": (5,),
        "head.weight": (5, 3),
        "head.bias": (3,),
        "dense_3.weight": (3, 2),
        "dense_3.bias": (2,),
    }
    assert {name: values.shape for name, values in net.gradients.items()} == {
        name: values.shape for name, values in net.parameters.items()
    }


def test_parameters_begin_at_multiples_of_64_bytes():
    net = cnet.Sequential([cnet.Dense(5), cnet.Dense(3), cnet.Dense(1)], seed=0).build(7)
    assert all(values.ctypes.data % 64 == 0 for values in net.parameters.values())


def test_no_bias_no_parameter():
    net = cnet.Sequential([cnet.Dense(5, use_bias=False)], seed=0).build(4)
    assert list(net.parameters) == ["dense_1.weight"]
    x = rows(6, 4, "float32")
    np.testing.assert_allclose(net.predict(x), x @ net.parameters["dense_1.weight"], rtol=1e-5)


def test_a_network_is_built_at_once_where_the_width_is_given():
    assert cnet.Sequential([cnet.Dense(5, inputs=4)]).is_built
    assert not cnet.Sequential([cnet.Dense(5)]).is_built


def test_fit_builds_from_the_data():
    x, y = regression()
    net = regressor()
    net.fit(x, y, verbose=0)
    assert net.parameters["dense_1.weight"].shape == (4, 5)


def test_building_twice_for_one_shape_changes_nothing():
    net = regressor().build(4)
    net.parameters["dense_1.bias"][:] = 3
    assert net.build(4) is net
    assert (net.parameters["dense_1.bias"] == 3).all()


def test_compile_may_come_before_or_after_build():
    x, y = regression()
    before, after = regressor().build(4), regressor()
    for net in (before, after):
        net.fit(x, y, verbose=0)
    for a, b in zip(before.get_weights(), after.get_weights(), strict=True):
        assert np.array_equal(a, b)


@pytest.mark.parametrize(
    ("activation", "limit"),
    [("relu", np.sqrt(6 / 50)), ("tanh", np.sqrt(6 / 110)), ("linear", np.sqrt(6 / 110))],
)
def test_first_weights_follow_the_activation(activation, limit):
    net = cnet.Sequential([cnet.Dense(60, activation)], seed=0, dtype="float64").build(50)
    weight, bias = net.get_weights()
    assert 0.98 * limit < np.abs(weight).max() <= limit  # uniform within Glorot's or He's limit
    assert abs(weight.std() / (limit / np.sqrt(3)) - 1) < 0.05
    assert (bias == 0).all()


def test_initial_values_may_be_names_descriptions_arrays_and_functions():
    given = rows(4, 3)
    first = cnet.Dense(3, kernel_initializer=given, bias_initializer=lambda shape: np.ones(shape))
    second = cnet.Dense(3, kernel_initializer="identity", bias_initializer=[1, 2, 3])
    third = cnet.Dense(2, kernel_initializer=cnet.initializers.Constant(0.5))
    net = cnet.Sequential([first, second, third], seed=0, dtype="float64").build(4)
    expected = [given, np.ones(3), np.eye(3), [1, 2, 3], np.full((3, 2), 0.5), np.zeros(2)]
    for got, wanted in zip(net.get_weights(), expected, strict=True):
        assert np.array_equal(got, wanted)


def test_flatten_and_activation_layers():
    net = cnet.Sequential(
        [cnet.Flatten(), cnet.Activation("tanh"), cnet.Dense(2, "relu")], seed=0, dtype="float64"
    ).build((3, 4))
    x = rows(5, 12).reshape(5, 3, 4)
    weight, bias = net.get_weights()
    expected = np.maximum(np.tanh(x.reshape(5, 12)) @ weight + bias, 0)
    np.testing.assert_allclose(net.predict(x), expected, rtol=1e-13)


def test_an_activation_on_its_own_is_the_same_as_in_its_layer():
    joint = cnet.Sequential([cnet.Dense(6, "gelu"), cnet.Dense(2)], seed=1, dtype="float64")
    apart = cnet.Sequential(
        [cnet.Dense(6), cnet.Activation("gelu"), cnet.Dense(2)], seed=1, dtype="float64"
    )
    x, y = regression()
    apart.build(4).set_weights(joint.build(4).get_weights())
    for net in (joint, apart):
        net.compile("adam", "mse").fit(x, y, epochs=3, verbose=0)
    np.testing.assert_allclose(apart.predict(x), joint.predict(x), rtol=1e-12)


def test_summary_counts_parameters(capsys):
    net = cnet.Sequential([cnet.Flatten(), cnet.Dense(5, "relu"), cnet.Dense(3)], seed=0)
    net.build((4, 7)).summary()
    text = capsys.readouterr().out
    assert "163 parameters" in text  # 28 * 5 + 5 + 5 * 3 + 3
    for word in ("flatten_1", "dense_1", "dense_2", "relu", "145", "18", "4 x 7"):
        assert word in text


def test_repr_says_what_it_is():
    text = repr(regressor())
    assert "dense_1" in text and "float64" in text and "seed=7" in text


# ---- weights -------------------------------------------------------------------------------------


def test_parameters_are_the_networks_own_memory():
    net = linear(3, 2)
    x = rows(5, 3)
    net.parameters["dense_1.weight"][:] = 0
    net.parameters["dense_1.bias"][:] = [1, -2]
    assert (net.predict(x) == [1, -2]).all()
    with pytest.raises(TypeError):
        net.parameters["dense_1.weight"] = np.ones((3, 2))


def test_get_weights_copies_and_set_weights_brings_back():
    net = regressor().build(4)
    x = rows(5, 4)
    weights, before = net.get_weights(), net.predict(x)
    for values in net.parameters.values():
        values += 1
    assert not np.array_equal(net.predict(x), before)
    net.set_weights(weights)
    assert np.array_equal(net.predict(x), before)


def test_set_weights_takes_lists_and_other_dtypes():
    net = linear(2, 1)
    net.set_weights([[[1], [2]], np.array([3], np.int8)])
    assert net.predict([[10, 20]]).tolist() == [[53.0]]


# ---- prediction ----------------------------------------------------------------------------------


@each_dtype
def test_predict_is_the_formula(dtype):
    net = regressor(dtype=dtype).build(4)
    x = rows(300, 4, dtype)
    w1, b1, w2, b2 = (w.astype(np.float64) for w in net.get_weights())
    y = net.predict(x)
    assert y.dtype == dtype and y.shape == (300, 2)
    tolerance = 1e-5 if dtype == "float32" else 1e-13
    np.testing.assert_allclose(y, np.tanh(x @ w1 + b1) @ w2 + b2, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("shape", [(4,), (2, 2)])
@pytest.mark.parametrize("given", ["float32", "float64", "uint8"])
def test_predict_takes_rows_of_the_shape_that_the_network_was_built_for(shape, given):
    net = cnet.Sequential([cnet.Flatten(), cnet.Dense(2)], seed=0).build(shape)
    x = np.arange(12).astype(given)
    expected = x.reshape(3, 4).astype("float32") @ net.parameters["dense_1.weight"]
    np.testing.assert_allclose(net.predict(x.reshape(3, *shape)), expected, rtol=1e-6)
    np.testing.assert_allclose(net.predict(x.reshape(3, 4)), expected, rtol=1e-6)


def test_no_rows_give_no_outputs():
    y = regressor().build(4).predict(np.empty((0, 4)))
    assert y.shape == (0, 2) and y.dtype == np.float64


def test_nan_in_gives_nan_out_for_that_row_alone():
    net = regressor().build(4)
    x = rows(5, 4)
    clean = net.predict(x)
    x[2, 1] = np.nan
    y = net.predict(x)
    assert np.isnan(y[2]).all()
    assert np.array_equal(np.delete(y, 2, 0), np.delete(clean, 2, 0))


@each_dtype
@pytest.mark.parametrize("n", [0, 1, 257, 600])
def test_predict_writes_into_the_array_given(dtype, n):
    net = regressor(dtype=dtype).build(4)
    x = rows(n, 4, dtype)
    guarded = np.full((n + 2, 2), 9, dtype)
    out = guarded[1:-1]
    assert net.predict(x, out=out) is out
    assert np.array_equal(out, net.predict(x))
    assert (guarded[[0, -1]] == 9).all()


def test_predict_classes():
    x, labels = classes()
    net = classifier()
    net.fit(x, labels, epochs=100, verbose=0)
    predicted = net.predict_classes(x)
    assert predicted.dtype == np.int64 and predicted.shape == (60,)
    assert np.array_equal(predicted, net.predict(x).argmax(axis=1))
    assert (predicted == labels).mean() == net.evaluate(x, labels)["accuracy"] > 0.9


def test_predict_classes_of_a_single_output_asks_whether_it_is_above_a_half():
    net = cnet.Sequential([cnet.Dense(1, "sigmoid", inputs=1)], seed=0)
    net.set_weights([[[1]], [0]])
    assert net.predict_classes([[-1], [0], [1]]).tolist() == [0, 0, 1]


def test_predict_from_several_threads_at_once():
    net = cnet.Sequential([cnet.Dense(64, "relu"), cnet.Dense(8)], seed=0).build(16)
    inputs = [rows(500, 16, "float32", seed=i) for i in range(4)]
    expected = [net.predict(x) for x in inputs]
    start, wrong = threading.Barrier(4), []

    def work(i: int) -> None:
        start.wait()
        results = [net.predict(inputs[i]) for _ in range(50)]
        wrong.extend(i for result in results if not np.array_equal(result, expected[i]))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# ---- passes by hand ------------------------------------------------------------------------------


@each_dtype
def test_forward_gives_what_predict_gives(dtype):
    net = regressor(dtype=dtype).build(4)
    x = rows(33, 4, dtype)
    assert np.array_equal(net.forward(x), net.predict(x))


def test_backward_is_the_chain_rule():
    net = linear(3, 2)
    x, dy = rows(7, 3), rows(7, 2, seed=1)
    net.forward(x)
    dx = net.backward(dy)
    np.testing.assert_allclose(dx, dy @ net.parameters["dense_1.weight"].T, rtol=1e-13)
    np.testing.assert_allclose(net.gradients["dense_1.weight"], x.T @ dy, rtol=1e-12)
    np.testing.assert_allclose(net.gradients["dense_1.bias"], dy.sum(axis=0), rtol=1e-12)


def test_backward_adds_to_gradients_until_they_are_zeroed():
    net = regressor().build(4)
    x, dy = rows(7, 4), rows(7, 2, seed=1)
    net.forward(x)
    dx = net.backward(dy)
    once = {name: values.copy() for name, values in net.gradients.items()}
    assert all(np.abs(values).max() > 0 for values in once.values())
    net.forward(x)
    assert np.array_equal(net.backward(dy), dx)
    for name, values in net.gradients.items():
        np.testing.assert_allclose(values, 2 * once[name], rtol=1e-13)
    net.zero_gradients()
    assert all((values == 0).all() for values in net.gradients.values())


def test_backward_returns_rows_of_the_inputs_shape():
    net = cnet.Sequential([cnet.Flatten(), cnet.Dense(2)], seed=0).build((3, 4))
    net.forward(rows(5, 12).reshape(5, 3, 4))
    assert net.backward(np.ones((5, 2))).shape == (5, 3, 4)


def test_a_step_by_hand_is_the_step_of_fit():
    x, y = regression()
    fitted, stepped = regressor("adam"), regressor("adam").build(4)
    loss = cnet.losses.MeanSquaredError()
    fitted.fit(x, y, epochs=3, batch_size=None, shuffle=False, verbose=0)
    for _ in range(3):
        outputs = stepped.forward(x)
        stepped.zero_gradients()
        stepped.backward(loss.gradient(outputs, y))
        stepped.apply_gradients()
    for a, b in zip(stepped.get_weights(), fitted.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_apply_gradients_uses_what_is_in_them():
    net = linear(3, 2, learning_rate=0.5)
    before = net.parameters["dense_1.weight"].copy()
    net.zero_gradients()
    net.gradients["dense_1.weight"][1, 1] = 4
    net.apply_gradients()
    before[1, 1] -= 2
    assert np.array_equal(net.parameters["dense_1.weight"], before)


def test_train_on_batch_returns_figures_from_before_the_step():
    x, y = regression()
    net = regressor(metrics=["mae"]).build(4)
    before = net.evaluate(x, y)
    figures = net.train_on_batch(x, y)
    assert figures == pytest.approx(before, rel=1e-12)
    assert net.evaluate(x, y)["loss"] < before["loss"]
