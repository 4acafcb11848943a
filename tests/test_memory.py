"""Memory: data is read where it lies, batches of any size pass in pieces, and nothing leaks.

Every figure is taken in a process of its own, since the largest size of a process never shrinks.
"""

import json
import subprocess
import sys

import pytest

if not sys.platform.startswith("linux"):
    pytest.skip("sizes of processes are read from Linux's /proc", allow_module_level=True)

COMMON = """
import json, os, sys
import numpy as np
import cnet

def now():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

def peak():
    # Not getrusage, whose figure begins with that of the process that started this one.
    with open("/proc/self/status") as file:
        return 1024 * int(next(line for line in file if line.startswith("VmHWM")).split()[1])

def classifier(hidden=128, **settings):
    layers = [cnet.Flatten(), cnet.Dense(hidden, "relu"), cnet.Dense(10, "softmax")]
    net = cnet.Sequential(layers, seed=1, **settings)
    return net.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])

def warm_up():
    # OpenBLAS and whatever else is loaded with the first network of some size.
    classifier().fit(np.ones((2000, 784), np.float32), np.zeros(2000, int), verbose=0)
"""


def measured(code: str) -> dict:
    """Run code in a process of its own; return what it prints as JSON."""
    done = subprocess.run(
        [sys.executable, "-c", COMMON + code],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# 48 million bytes each, filled without a temporary array.
DATA = {
    "images of bytes": "x = np.empty((60000, 28, 28), np.uint8); x[:] = np.arange(28)",
    "float32": "x = np.empty((60000, 200), np.float32); x[:] = np.linspace(-1, 1, 200)",
    "float64": "x = np.empty((30000, 200)); x[:] = np.linspace(-1, 1, 200)",
    "float16": "x = np.empty((60000, 400), np.float16); x[:] = np.linspace(-1, 1, 400)",
    "int64": "x = np.empty((30000, 200), np.int64); x[:] = np.arange(200) % 3",
    "Fortran": "x = np.empty((200, 60000), np.float32).T; x[:] = np.linspace(-1, 1, 200)",
    "records": "x = np.zeros(60000, [('a', 'u1'), ('x', 'f4', 200)])['x']; x[:] = 0.5",
    "every other row": "x = np.empty((60000, 200), np.float32); x[:] = np.linspace(-1, 1, 200);"
    " x = x[::2]",
    "every other column": "x = np.empty((60000, 200), np.float32); x[:] = np.linspace(-1, 1, 200);"
    " x = x[:, ::2]",
}


USUAL = ["images of bytes", "float32", "float64", "Fortran"]
each_data = pytest.mark.parametrize(
    "data", [pytest.param(d, marks=[] if d in USUAL else pytest.mark.slow) for d in DATA]
)


@each_data
def test_no_copy_is_made_of_the_data(data):
    code = f"""
warm_up()
{DATA[data]}
y = np.arange(len(x)) % 10
before, peak_before = now(), peak()
net = classifier(scale=1 / 255 if x.dtype == np.uint8 else None)
net.fit(x, y, steps_per_epoch=10, validation_data=(x[-2000:], y[-2000:]), verbose=0)
net.fit(x, y, steps_per_epoch=1, batch_size=5000, verbose=0)
net.evaluate(x[:2000], y[:2000])
net.predict(x[:20000])
print(json.dumps(dict(grown=peak() - before, loose=peak_before - before)))
"""
    figures = measured(code)
    assert figures["loose"] < 5e6  # else the peak would say nothing
    # 48 million bytes a copy; the order of the rows, the labels, activations and states are small.
    assert figures["grown"] < 20e6


@pytest.mark.fashion
def test_training_from_bytes_takes_less_than_a_half_more_than_the_bytes():
    code = """
warm_up()
before = now()
try:
    (x, y), _ = cnet.datasets.load_fashion_mnist()
except FileNotFoundError:
    print("null")
    sys.exit()
net = classifier(scale=1 / 255)
history = net.fit(x, y, epochs=1, batch_size=64, steps_per_epoch=300, verbose=0)
arenas = net.built.core.nbytes + net.rule.states.nbytes
print(json.dumps(dict(data=x.nbytes, arenas=arenas, grown=peak() - before,
                      accuracy=history["accuracy"][0])))
"""
    figures = measured(code)
    if figures is None:
        pytest.skip("Fashion-MNIST is not on this machine")
    assert figures["data"] == 60000 * 28 * 28
    assert figures["grown"] < 1.5 * figures["data"] + figures["arenas"]
    assert figures["accuracy"] > 0.5


def test_memory_follows_neither_the_batch_nor_the_data():
    code = """
warm_up()
x = np.broadcast_to(np.ones(50, np.float32), (40000, 50))  # takes no memory itself
y = np.broadcast_to(np.zeros(1, np.uint8), (40000,))
net = classifier(1000)
net.build(50)
before = now()
net.fit(x, y, batch_size=None, shuffle=False, verbose=0)
print(json.dumps(dict(grown=peak() - before)))
"""
    # The hidden layer of the batch, and its gradient, would take 160 million bytes each.
    assert measured(code)["grown"] < 30e6


def test_a_large_batch_of_predictions_takes_little_more_than_its_result():
    code = """
warm_up()
x = np.broadcast_to(np.ones(50, np.float32), (80000, 50))
net = classifier(1000).build(50)
before = now()
result = net.predict(x)
print(json.dumps(dict(grown=peak() - before - result.nbytes)))
"""
    assert measured(code)["grown"] < 30e6  # with the hidden layer it would be 320 million


LEAKS = {
    "fit": "net.fit(x, y, epochs=2, validation_split=0.2, sample_weight=w, verbose=0)",
    "streams": "net.fit([(x, y), (x[:50], y[:50])], verbose=0);"
    " net.fit(cnet.Shards.split(x, y, rows=100), verbose=0); net.evaluate(iter([(x, y)]))",
    "train_on_batch": "net.train_on_batch(x, y)",
    "evaluate": "net.evaluate(x, y, w)",
    "predict": "net.predict(x); net.predict(x.astype(np.int8)); net.predict(x, out=out)",
    "forward and backward": "net.forward(x); net.backward(out)",
    "networks": "classifier(64).build(50).fit(x, y, verbose=0)",
    "copies": "copy.deepcopy(net); pickle.loads(pickle.dumps(net))",
    "files": "cnet.save(net, path); cnet.load(path)",
    "errors": """
for bad in (x[:, :3], x * np.nan, x.astype(complex)):
    try:
        net.fit(bad, y, verbose=0)
    except (ValueError, TypeError):
        pass
""",
}


def test_nothing_leaks(tmp_path):
    code = f"""
import copy, pickle
path = {str(tmp_path / "net.cnet")!r}
x, y, w = np.ones((300, 50), np.float32), np.arange(300) % 10, np.ones(300)
out = np.empty((300, 10), np.float32)
net = classifier(64)
net.fit(x, y, verbose=0)
grown = {{}}
for name, code in json.loads({json.dumps(json.dumps(LEAKS))}).items():
    code = compile(code, name, "exec")
    for _ in range(15):
        exec(code)
    before = now()
    for _ in range(80):
        exec(code)
    grown[name] = now() - before
print(json.dumps(grown))
"""
    grown = measured(code)
    # Most of these make 50,000 bytes or more each time: 4 million, if they were kept.
    assert {name: size for name, size in grown.items() if size > 1.5e6} == {}
