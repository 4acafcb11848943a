"""Normalisation against scikit-learn, where it is installed."""

import numpy as np
import pytest

import cnet

preprocessing = pytest.importorskip("sklearn.preprocessing")


def table() -> np.ndarray:
    """Return columns of many sizes, one constant, one of few values, one of timestamps."""
    rng = np.random.default_rng(0)
    x = rng.standard_cauchy((997, 6)) * [1, 1e-3, 1e5, 0, 1, 3600] + [0, 1, -1e4, 7, 0, 1.7e9]
    x[:, 4] = rng.integers(0, 3, 997)
    return x


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("normalizer", "name", "settings"),
    [
        (cnet.Standardize(), "StandardScaler", {}),
        (cnet.MinMax(), "MinMaxScaler", {}),
        (cnet.MinMax(-1, 2), "MinMaxScaler", {"feature_range": (-1, 2)}),
        (cnet.Robust(), "RobustScaler", {}),
    ],
)
def test_scalers_of_scikit_learn(normalizer, name, settings, dtype):
    x = table()
    scaler = getattr(preprocessing, name)(**settings).fit(x)
    net = cnet.Sequential([cnet.Activation("linear")], dtype=dtype, normalize_inputs=normalizer)
    net.build(6).adapt(x)
    expected = scaler.transform(x)
    # Its own shift of timestamps, for a range that does not begin at 0, is added and rounded.
    close = 1e-9 * np.abs(expected).max(axis=0) + 1e-9
    assert (np.abs(net.input_scaling.transform(x) - expected) <= close).all()
    assert (
        np.abs(net.predict(x) - expected) <= close + np.finfo(dtype).eps * np.abs(expected)
    ).all()
    back = scaler.inverse_transform(expected)
    found = net.input_scaling.inverse_transform(expected)
    assert (np.abs(found - back) <= 1e-12 * np.abs(x).max(axis=0)).all()


def test_a_regressor_of_scikit_learn_with_scaled_targets():
    """Least squares with both sides scaled, by steps of gradient descent and by one solution."""
    compose = pytest.importorskip("sklearn.compose")
    linear = pytest.importorskip("sklearn.linear_model")
    pipeline = pytest.importorskip("sklearn.pipeline")
    rng = np.random.default_rng(1)
    x = rng.normal(size=(300, 3)) * [1, 100, 1e-2] + [5, 0, 1e4]
    y = 1e3 * (x - x.mean(0)) / x.std(0) @ [1.0, -2.0, 0.5] + 7e5 + rng.normal(size=300)
    other = compose.TransformedTargetRegressor(
        pipeline.make_pipeline(preprocessing.StandardScaler(), linear.LinearRegression()),
        transformer=preprocessing.StandardScaler(),
    ).fit(x, y)
    net = cnet.Sequential(
        [cnet.Dense(1)], seed=1, dtype="float64",
        normalize_inputs="standardize", normalize_targets="standardize",
    )  # fmt: skip
    net.compile(cnet.SGD(0.3), "mse")
    net.fit(x, y, batch_size=None, epochs=400, verbose=0)
    assert np.allclose(net.predict(x)[:, 0], other.predict(x), rtol=1e-9)
