"""Write metrics.json, the reference values of tests/test_scores.py.

Run by hand, never by the tests, where scikit-learn is installed::

    python tests/golden/sklearn_metrics.py

Nothing here imports cnet. Each case holds its data, so that nothing has to be drawn again: numbers
of few digits, with equal scores among them. Two runs with one version write the same bytes.
"""

import json
import pathlib
import warnings

import numpy as np
import sklearn
from sklearn import metrics as m

HERE = pathlib.Path(__file__).parent
AVERAGES = ("macro", "micro", "weighted", None)


def numbers(values) -> object:
    return values.tolist() if isinstance(values, (np.ndarray, np.generic)) else values


def decided(truth, guess, weights, averages) -> dict:
    """Figures of classes, or of labels (N, K), that have been decided on."""
    found = {}
    for name, function in (
        ("precision", m.precision_score), ("recall", m.recall_score), ("f1", m.f1_score),
    ):  # fmt: skip
        for average in averages:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what is 0 by definition
                value = function(truth, guess, average=average, sample_weight=weights)
            found[f"{name} {average}"] = numbers(value)
    return found


def several_classes(rng, n, k, absent, weights) -> dict:
    y = rng.multinomial(20, rng.dirichlet(np.full(k, 0.8), n)) / 20
    truth = rng.permutation(np.arange(n) % (k - absent))
    guess, labels = y.argmax(axis=1), np.arange(k)
    found = decided(truth, guess, weights, AVERAGES[:-1])
    found["accuracy"] = m.accuracy_score(truth, guess, sample_weight=weights)
    matrix = m.confusion_matrix(truth, guess, labels=labels, sample_weight=weights)
    found["confusion_matrix"] = numbers(matrix)
    found["log_loss"] = m.log_loss(truth, y, labels=labels, sample_weight=weights)
    if not absent:
        found |= decided(truth, guess, weights, (None,))
        score = y if k > 2 else y[:, 1]
        found["roc_auc"] = m.roc_auc_score(truth, score, multi_class="ovr", sample_weight=weights)
    if k > 2:
        first = y + np.arange(k)[::-1] * 1e-9  # of equal outputs the first is the largest
        tops = m.top_k_accuracy_score(truth, first, k=2, labels=labels, sample_weight=weights)
        found["top_k_accuracy"] = tops
    return {"y_true": numbers(truth), "y_pred": numbers(y), "figures": found}


def one_output(rng, n, weights) -> dict:
    y = np.round(rng.uniform(0, 1, n), 1)
    truth = (y + rng.normal(0, 0.4, n) > 0.5).astype(int)
    guess = (y > 0.5).astype(int)
    found = decided(truth, guess, weights, ("binary", *AVERAGES))
    found["accuracy"] = m.accuracy_score(truth, guess, sample_weight=weights)
    found["confusion_matrix"] = numbers(m.confusion_matrix(truth, guess, sample_weight=weights))
    found["log_loss"] = m.log_loss(truth, y, sample_weight=weights)
    found["roc_auc"] = m.roc_auc_score(truth, y, sample_weight=weights)
    return {"y_true": numbers(truth), "y_pred": numbers(y), "figures": found}


def several_labels(rng, n, k, weights) -> dict:
    y = np.round(rng.uniform(0, 1, (n, k)), 1)
    truth = (y + rng.normal(0, 0.4, (n, k)) > 0.6).astype(int)
    found = decided(truth, (y > 0.5).astype(int), weights, AVERAGES)
    found["roc_auc"] = m.roc_auc_score(truth, y, sample_weight=weights)
    return {"y_true": numbers(truth), "y_pred": numbers(y), "figures": found}


def real_numbers(rng, n, k, weights) -> dict:
    truth = np.round(rng.normal(1, 2, (n, k)), 2) + 10 * np.arange(k)
    y = np.round(truth + rng.normal(0.3, 1, (n, k)), 2)
    found = {
        "mse": m.mean_squared_error(truth, y, sample_weight=weights),
        "mae": m.mean_absolute_error(truth, y, sample_weight=weights),
        "mape": m.mean_absolute_percentage_error(truth, y, sample_weight=weights),
        "r2": m.r2_score(truth, y, sample_weight=weights),
        "explained_variance": m.explained_variance_score(truth, y, sample_weight=weights),
    }
    if k == 1:
        found["rmse"] = m.root_mean_squared_error(truth, y, sample_weight=weights)
    return {"y_true": numbers(truth), "y_pred": numbers(y), "figures": found}


def main() -> None:
    n, rng, cases = 40, np.random.default_rng(20261122), {}
    for name, make in {
        "three classes": lambda w: several_classes(rng, n, 3, 0, w),
        "two classes": lambda w: several_classes(rng, n, 2, 0, w),
        "five classes, one absent": lambda w: several_classes(rng, n, 5, 1, w),
        "one output": lambda w: one_output(rng, n, w),
        "three labels": lambda w: several_labels(rng, n, 3, w),
        "one number": lambda w: real_numbers(rng, n, 1, w),
        "two numbers": lambda w: real_numbers(rng, n, 2, w),
    }.items():
        for weights in (None, np.round(rng.uniform(0.1, 3, n), 1)):
            case = make(weights)
            case["sample_weight"] = numbers(weights)
            cases[name + (", weighted" if weights is not None else "")] = case
    text = json.dumps({"reference": f"scikit-learn {sklearn.__version__}", "cases": cases})
    text = text.replace('"figures"', '\n"figures"').replace('"y_', '\n"y_')
    text = text.replace('"sample_weight"', '\n"sample_weight"')
    (HERE / "metrics.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
