"""Embeddings against PyTorch's, where it is installed: outputs, gradients, steps."""

import numpy as np
import pytest

import cnet

torch = pytest.importorskip("torch")
UNIT = {"float32": 2e-5, "float64": 1e-10}


class Table(torch.nn.Module):
    """Columns 0 and 3 are categories, the others go through; cnet's order is embeddings first."""

    def __init__(self):
        super().__init__()
        self.first = torch.nn.Embedding(5, 3)
        self.second = torch.nn.Embedding(7, 2)
        self.hidden = torch.nn.Linear(7, 6)
        self.last = torch.nn.Linear(6, 2)

    def forward(self, x):
        parts = [self.first(x[:, 0].long()), self.second(x[:, 3].long()), x[:, [1, 2]]]
        return self.last(torch.tanh(self.hidden(torch.cat(parts, dim=1))))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_table_trains_as_in_pytorch(dtype):
    columns = cnet.Columns({0: cnet.Embedding(5, 3), 3: cnet.Embedding(7, 2)})
    net = cnet.Sequential([columns, cnet.Dense(6, "tanh"), cnet.Dense(2)], seed=1, dtype=dtype)
    net.build(4).compile(cnet.Adam(learning_rate=0.01), "mse")
    twin = Table().to(getattr(torch, dtype))
    rng = np.random.default_rng(31)
    tables = [name for name in net.parameters if "embedding" in name]
    assert len(tables) == 2

    def compare(arrays, tensors):
        for (name, got), tensor in zip(arrays.items(), tensors, strict=True):
            wanted = tensor.detach().numpy() if name in tables else tensor.detach().numpy().T
            np.testing.assert_allclose(got, wanted, UNIT[dtype], UNIT[dtype], err_msg=name)

    for (name, values), parameter in zip(net.parameters.items(), twin.parameters(), strict=True):
        values[...] = rng.uniform(-0.6, 0.6, values.shape)
        parameter.data[...] = torch.tensor(values if name in tables else values.T)
    x = rng.standard_normal((70, 4)).astype(dtype)
    x[:, 0], x[:, 3] = rng.integers(0, 5, 70), rng.integers(0, 6, 70)  # one is never there
    y = rng.standard_normal((70, 2)).astype(dtype)
    outputs = twin(torch.tensor(x)).detach().numpy()
    np.testing.assert_allclose(net.predict(x), outputs, UNIT[dtype], UNIT[dtype])
    optimizer = torch.optim.Adam(twin.parameters(), lr=0.01)
    for _ in range(12):
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(twin(torch.tensor(x)), torch.tensor(y)).backward()
        net.train_on_batch(x, y)
        compare(net.gradients, [parameter.grad for parameter in twin.parameters()])
        optimizer.step()
        compare(net.parameters, twin.parameters())
