"""Names, settings and calls that are refused: in which words, and that nothing has changed by then.

Data that does not fit is in test_data_errors.py.
"""

import numpy as np
import pytest
from networks import linear, refused, regression, regressor, rows, snapshot

import cnet

# ---- the errors themselves -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("own", "pythons"),
    [
        (cnet.ShapeError, ValueError),
        (cnet.NotBuiltError, RuntimeError),
        (cnet.NonFiniteError, ValueError),
        (cnet.FileFormatError, OSError),
    ],
)
def test_every_error_is_also_one_of_pythons(own, pythons):
    assert issubclass(own, cnet.CnetError) and issubclass(own, pythons)


# ---- names ---------------------------------------------------------------------------------------

UNKNOWN = {
    "activation": (lambda name: cnet.Dense(3, name), "rely", "relu", cnet.activations.names),
    "loss": (lambda name: regressor(loss=name), "hubert", "huber", cnet.losses.names),
    "optimizer": (lambda name: regressor(name), "adm", "adam", cnet.optimizers.names),
    "metric": (lambda name: regressor(metrics=[name]), "acuracy", "accuracy", cnet.metrics.names),
    "initializer": (
        lambda name: cnet.Dense(3, kernel_initializer=name),
        "glorotuniform",
        "glorot_uniform",
        cnet.initializers.names,
    ),
    "dtype": (
        lambda name: cnet.Sequential([cnet.Dense(3)], dtype=name),
        "flaot32",
        "float32",
        lambda: ("float32", "float64"),
    ),
}


@pytest.mark.parametrize("kind", UNKNOWN)
def test_unknown_names_list_the_known_ones_and_the_nearest(kind):
    make, wrong, meant, known = UNKNOWN[kind]
    with refused(ValueError, f"unknown {kind} '{wrong}'", f"Did you mean '{meant}'", *known()):
        make(wrong)


@pytest.mark.parametrize("kind", ["activation", "loss"])
def test_capitals_do_not_hide_what_was_meant(kind):
    make, _, meant, _ = UNKNOWN[kind]
    with refused(ValueError, f"Did you mean '{meant}'"):
        make(meant.upper())


def test_a_name_like_no_other_gets_the_list_alone():
    with pytest.raises(ValueError, match=r"unknown activation 'xyzzy'\. Known: elu") as caught:
        cnet.Dense(3, "xyzzy")
    assert "mean" not in str(caught.value)


@pytest.mark.parametrize("thing", [3, None, cnet.Adam, cnet.losses.Huber, ["adam"]])
def test_what_is_no_name_is_a_type_error(thing):
    with refused(TypeError, "optimizer must be a name or an object such as"):
        regressor(thing)
    with refused(TypeError, "loss must be a name or an object such as"):
        regressor(loss=thing)
    if thing is not None:
        with refused(TypeError, "activation must be a name or"):
            cnet.Dense(3, thing)


@pytest.mark.parametrize("dtype", ["float16", "int8", None, 3, "double precision"])
def test_dtypes_without_kernels(dtype):
    with refused(ValueError, "unknown dtype", "float32, float64"):
        cnet.Sequential([cnet.Dense(3)], dtype=dtype)


@pytest.mark.parametrize("dtype", ["float32", np.float32, np.dtype("float32"), "f4"])
def test_dtypes_that_are_float32(dtype):
    assert cnet.Sequential([cnet.Dense(3)], dtype=dtype).dtype == "float32"


# ---- settings ------------------------------------------------------------------------------------


@pytest.mark.parametrize("units", [0, -1])
def test_units_out_of_range(units):
    with refused(ValueError, f"units must be at least 1, got {units}"):
        cnet.Dense(units)
    with refused(ValueError, f"inputs must be at least 1, got {units}"):
        cnet.Dense(3, inputs=units)


@pytest.mark.parametrize("units", [True, 2.0, "3", None])
def test_units_of_another_type(units):
    with refused(TypeError, "units must be an integer, got"):
        cnet.Dense(units)


@pytest.mark.parametrize("value", ["no", 1, None])
def test_a_flag_is_true_or_false(value):
    with refused(TypeError, "use_bias must be True or False, got"):
        cnet.Dense(3, use_bias=value)


@pytest.mark.parametrize("rate", [-0.1, np.nan, np.inf])
def test_settings_of_optimizers_are_checked(rate):
    for cls in (cnet.SGD, cnet.AdaGrad, cnet.AdaDelta, cnet.RMSprop, cnet.Adam, cnet.Lion):
        with refused(ValueError, "learning_rate must be finite and at least 0, got"):
            cls(learning_rate=rate)
    with refused(ValueError, "beta_1 must be finite and at least 0 and below 1, got 1"):
        cnet.Adam(beta_1=1.0)
    with refused(TypeError, "learning_rate must be a number, got '0.1'"):
        cnet.SGD(learning_rate="0.1")
    with refused(ValueError, "nesterov", "momentum"):
        cnet.SGD(nesterov=True)


def test_settings_of_losses_and_activations_are_checked():
    with refused(ValueError, "delta must be finite and above 0, got 0"):
        cnet.losses.Huber(delta=0)
    with refused(ValueError, "q must be .*below 1, got 1"):
        cnet.losses.Quantile(q=1)
    with refused(ValueError, "label_smoothing must be"):
        cnet.losses.BinaryCrossentropy(label_smoothing=1)
    with refused(ValueError, "activation 'relu' has no alpha, got 0.1"):
        cnet.Activation("relu", alpha=0.1)
    with refused(ValueError, "alpha must be finite and at least 0, got -1"):
        cnet.Activation("elu", alpha=-1)


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_seeds_out_of_range(seed):
    with refused(ValueError, "seed must be", str(seed)):
        cnet.Sequential([cnet.Dense(3)], seed=seed)


@pytest.mark.parametrize("scale", [np.nan, np.inf])
def test_a_scale_that_is_not_finite(scale):
    with refused(ValueError, "scale must be finite"):
        cnet.Sequential([cnet.Dense(3)], scale=scale)


# ---- assembling ----------------------------------------------------------------------------------


def test_a_layer_has_one_place():
    layer = cnet.Dense(3)
    with refused(ValueError, "layer 3 is the same object as layer 1", "copy.copy"):
        cnet.Sequential([layer, cnet.Dense(3), layer])


@pytest.mark.parametrize("layers", [3, None, "dense", cnet.Dense(3), {"dense": cnet.Dense(3)}])
def test_layers_are_a_sequence(layers):
    with refused(TypeError, "layers must be a sequence such as"):
        cnet.Sequential(layers)


def test_what_is_no_layer():
    with refused(TypeError, "layer 2 must be a layer such as", "class"):
        cnet.Sequential([cnet.Dense(3), cnet.Dense])
    with refused(ValueError, "at least one layer"):
        cnet.Sequential([])
    with refused(ValueError, "computes nothing", "cnet.Dense"):
        cnet.Sequential([cnet.Flatten()]).build((2, 3))


@pytest.mark.parametrize("name", ["a.b", "a/b", "", 3])
def test_names_that_files_could_not_hold(name):
    with refused(ValueError, "layer 1: a name is a string without dots and slashes"):
        cnet.Sequential([cnet.Dense(3, name=name)])


def test_names_are_taken_once():
    with refused(ValueError, "layer 2: 'head' is taken"):
        cnet.Sequential([cnet.Dense(3, name="head"), cnet.Dense(3, name="head")])


def test_layers_that_do_not_fit_together():
    with refused(cnet.ShapeError, "dense_2", "inputs=4", "gives 3"):
        cnet.Sequential([cnet.Dense(3), cnet.Dense(2, inputs=4)]).build(5)
    with refused(cnet.ShapeError, "dense_1", r"\(28, 28\)", "cnet.Flatten"):
        cnet.Sequential([cnet.Dense(3)]).build((28, 28))


@pytest.mark.parametrize("inputs", [0, -3, (3, 0), ()])
def test_shapes_of_rows_out_of_range(inputs):
    with refused(ValueError, "inputs"):
        cnet.Sequential([cnet.Flatten(), cnet.Dense(3)]).build(inputs)


@pytest.mark.parametrize("inputs", [2.0, True, "4", None, (2, 2.0)])
def test_shapes_of_rows_of_another_type(inputs):
    with refused(TypeError, "inputs must be"):
        cnet.Sequential([cnet.Flatten(), cnet.Dense(3)]).build(inputs)


def test_a_built_network_has_its_shape():
    net = regressor().build(4)
    with refused(cnet.ShapeError, r"built for rows of shape \(4,\)", r"\(5,\)"):
        net.build(5)
    assert net.predict(rows(1, 4)).shape == (1, 2)


def test_initial_values_that_do_not_fit():
    def make(**settings):
        cnet.Sequential([cnet.Dense(3, **settings)]).build(4)

    with refused(cnet.ShapeError, "dense_1.weight", r"\(2, 2\)", r"\(4, 3\)"):
        make(kernel_initializer=np.ones((2, 2)))
    with refused(cnet.ShapeError, "dense_1.bias", r"shape \(\)", r"\(3,\)"):
        make(bias_initializer=lambda shape: 1.0)
    with refused(ValueError, "dense_1.weight", "not all finite"):
        make(kernel_initializer=np.full((4, 3), np.nan))
    with refused(cnet.ShapeError, "dense_1.bias", "orthogonal needs a matrix"):
        make(bias_initializer="orthogonal")


# ---- losses and metrics that do not fit the network ----------------------------------------------


def test_probabilities_need_an_activation_or_logits():
    net = cnet.Sequential([cnet.Dense(3)]).build(4)
    with refused(ValueError, "dense_1 is linear", "softmax", "from_logits=True"):
        net.compile("sgd", "sparse_categorical_crossentropy")
    with refused(ValueError, "dense_1 is linear", "sigmoid"):
        net.compile("sgd", "binary_crossentropy")
    assert not net.is_compiled
    net.compile("sgd", cnet.losses.CategoricalCrossentropy(from_logits=True))


def test_logits_do_not_come_out_of_softmax():
    net = cnet.Sequential([cnet.Dense(3, "softmax")]).build(4)
    with refused(ValueError, "takes logits", "dense_1 is softmax", "leave from_logits out"):
        net.compile("sgd", cnet.losses.CategoricalCrossentropy(from_logits=True))


def test_means_and_variances_come_in_pairs():
    with refused(cnet.ShapeError, "gaussian_nll", "even number", "gives 3"):
        cnet.Sequential([cnet.Dense(3)]).build(4).compile("sgd", "gaussian_nll")


def test_a_loss_that_does_not_fit_is_found_when_the_network_is_built():
    net = cnet.Sequential([cnet.Dense(3)]).compile("sgd", "categorical_crossentropy")
    with refused(ValueError, "dense_1 is linear"):
        net.build(4)
    assert not net.is_built


@pytest.mark.parametrize("metric", ["accuracy", "sparse_accuracy"])
def test_metrics_that_the_loss_does_not_allow(metric):
    net = regressor().build(4)
    compiled = net.compiled
    with refused(ValueError, f"metric '{metric}'", "loss", "'mse'"):
        net.compile("sgd", "mse", [metric])
    assert net.compiled is compiled


@pytest.mark.parametrize("metrics", [3, None, {"accuracy": 1}])
def test_metrics_are_a_sequence(metrics):
    with refused(TypeError, "metrics must be a sequence such as"):
        regressor(metrics=metrics)


# ---- what comes before what ----------------------------------------------------------------------


def test_before_build():
    net = regressor()
    x, y = regression()
    calls = [
        lambda: net.predict(x),
        lambda: net.predict_classes(x),
        lambda: net.evaluate(x, y),
        lambda: net.forward(x),
        lambda: net.backward(y),
        lambda: net.zero_gradients(),
        lambda: net.apply_gradients(),
        lambda: net.parameters,
        lambda: net.gradients,
        lambda: net.get_weights(),
        lambda: net.set_weights([]),
        lambda: net.summary(),
    ]
    for call in calls:
        with refused(cnet.NotBuiltError, "not built", "net.build", "fit"):
            call()


def test_before_compile():
    net = cnet.Sequential([cnet.Dense(2, inputs=4)])
    x, y = regression()
    calls = [
        lambda: net.fit(x, y),
        lambda: net.train_on_batch(x, y),
        lambda: net.evaluate(x, y),
        lambda: net.apply_gradients(),
    ]
    for call in calls:
        with refused(cnet.NotBuiltError, "not compiled", "net.compile"):
            call()


def test_fit_before_compile_builds_nothing():
    net = cnet.Sequential([cnet.Dense(2)])
    with refused(cnet.NotBuiltError, "not compiled"):
        net.fit(*regression())
    assert not net.is_built


def test_backward_before_forward():
    net = linear(4, 2)
    with refused(cnet.NotBuiltError, "forward pass first", r"net.forward\(x\)"):
        net.backward(np.ones((3, 2)))


@pytest.mark.parametrize("shape", [(7, 2), (6, 3), (6,), (6, 2, 1), (12,)])
def test_backward_wants_the_shape_of_the_outputs(shape):
    net = linear(4, 2)
    net.forward(rows(6, 4))
    net.zero_gradients()
    with refused(cnet.ShapeError, "dy has shape", r"expected \(6, 2\)"):
        net.backward(np.ones(shape))
    assert not any(values.any() for values in net.gradients.values())


# ---- weights -------------------------------------------------------------------------------------


def test_weights_that_do_not_fit_change_nothing():
    net = regressor().build(4)
    before, weights = snapshot(net), [w + 1 for w in net.get_weights()]
    with refused(cnet.ShapeError, "got 3 arrays, expected 4", "dense_2.bias"):
        net.set_weights(weights[:3])
    with refused(cnet.ShapeError, r"dense_2.bias has shape \(2,\)", r"\(1, 2\)"):
        net.set_weights([*weights[:3], weights[3][None]])
    with refused(TypeError, "dense_2.bias has dtype"):
        net.set_weights([*weights[:3], ["a", "b"]])
    for wrong in (None, dict(net.parameters), 3):
        with refused(TypeError, "weights must be a sequence such as"):
            net.set_weights(wrong)
    assert snapshot(net) == before
