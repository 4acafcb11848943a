"""ONNX Runtime: predictions only."""

from __future__ import annotations

import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from ..workloads import Prediction, Training, initial_parameters, prediction_data
from . import Run, repeat

NAME = "ONNX Runtime"
VERSION = onnxruntime.__version__
MEASURED = "Prediction: `run` with NumPy arrays in and out. It does not train."
TRAINING: tuple[str, ...] = ()
PREDICTION = ("run",)
NEEDS_COMPILER: tuple[str, ...] = ()
SWEEPS = ("run",)


def _model(sizes: tuple[int, ...]) -> bytes:
    nodes, constants, current = [], [], "x"
    layers = initial_parameters(sizes)
    for i, (weight, bias) in enumerate(layers):
        constants += [
            numpy_helper.from_array(weight, f"weight_{i}"),
            numpy_helper.from_array(bias, f"bias_{i}"),
        ]
        nodes.append(helper.make_node("Gemm", [current, f"weight_{i}", f"bias_{i}"], [f"z_{i}"]))
        current = f"z_{i}"
        if i < len(layers) - 1:
            nodes.append(helper.make_node("Relu", [current], [f"a_{i}"]))
            current = f"a_{i}"
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", sizes[0]])],
        [helper.make_tensor_value_info(current, TensorProto.FLOAT, ["rows", sizes[-1]])],
        constants,
    )
    # An old operator set and file version: every ONNX Runtime of the last years reads them.
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def train(workload: Training, mode: str, threads: int) -> Run:
    """Refuse: ONNX Runtime's package runs networks and does not train them; see `Peer`."""
    raise NotImplementedError("ONNX Runtime does not train; it takes part in predictions only")


def infer(workload: Prediction, mode: str, threads: int) -> Run:
    """Prepare a prediction; see `Peer`."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        _model(workload.sizes), options, providers=["CPUExecutionProvider"]
    )
    feed = {"x": prediction_data(workload)}
    return repeat(lambda: session.run(None, feed))
