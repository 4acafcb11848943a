"""One step of backpropagation with every intermediate quantity, first by formula, then by cnet.

The network is that of Matt Mazur's "A Step by Step Backpropagation Example" (2015): two inputs, two
hidden sigmoid units, two sigmoid outputs, one row of data, learning rate 0.5, biases held fixed.

    z1 = x W1 + b1     h = sigmoid(z1)     z2 = h W2 + b2     o = sigmoid(z2)
    E = 1/2 sum (o - t)^2

All gradients are taken before anything moves, as in the article's text. The loss that it prints
after the step, 0.291027924, is not that of its printed weights (0.291027774, as below) but what one
gets by updating the output layer first and then using its new weights for the hidden layer.
"""

import numpy as np

import cnet

X = np.array([[0.05, 0.10]])
T = np.array([[0.01, 0.99]])
W1 = np.array([[0.15, 0.25], [0.20, 0.30]])  # W1[i, j] connects input i to hidden unit j
B1 = np.array([0.35, 0.35])
W2 = np.array([[0.40, 0.50], [0.45, 0.55]])
B2 = np.array([0.60, 0.60])
RATE = 0.5


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def show(name, formula, value):
    text = np.array2string(np.asarray(value), precision=9, floatmode="fixed", separator=", ")
    lines = text.replace("[[", "[").replace("]]", "]").splitlines()
    print(f"  {name:<10} {formula:<28} {lines[0]}")
    for line in lines[1:]:
        print(f"  {'':<39} {line.strip().rstrip(',')}")


def by_formula():
    """Do the step with NumPy, print everything, and return gradients, new weights and the loss."""
    print("Forward")
    z1 = X @ W1 + B1
    h = sigmoid(z1)
    z2 = h @ W2 + B2
    o = sigmoid(z2)
    loss = 0.5 * np.sum((o - T) ** 2)
    show("z1", "x W1 + b1", z1)
    show("h", "sigmoid(z1)", h)
    show("z2", "h W2 + b2", z2)
    show("o", "sigmoid(z2)", o)
    show("E", "1/2 sum (o - t)^2", loss)

    print("\nBackward, output layer")
    do = o - T
    slope2 = o * (1 - o)
    dz2 = do * slope2
    dw2 = h.T @ dz2
    show("dE/do", "o - t", do)
    show("do/dz2", "o (1 - o)", slope2)
    show("dE/dz2", "dE/do do/dz2", dz2)
    show("dE/dW2", "h^T dE/dz2", dw2)

    print("\nBackward, hidden layer")
    dh = dz2 @ W2.T
    slope1 = h * (1 - h)
    dz1 = dh * slope1
    dw1 = X.T @ dz1
    show("dE/dh", "dE/dz2 W2^T", dh)
    show("dh/dz1", "h (1 - h)", slope1)
    show("dE/dz1", "dE/dh dh/dz1", dz1)
    show("dE/dW1", "x^T dE/dz1", dw1)

    print("\nUpdate")
    new_w1, new_w2 = W1 - RATE * dw1, W2 - RATE * dw2
    show("W1", "W1 - rate dE/dW1", new_w1)
    show("W2", "W2 - rate dE/dW2", new_w2)
    after = 0.5 * np.sum((sigmoid(sigmoid(X @ new_w1 + B1) @ new_w2 + B2) - T) ** 2)
    show("E", "after the step", after)
    return {"dW1": dw1, "dW2": dw2, "W1": new_w1, "W2": new_w2, "E": after}


def by_cnet():
    """Do the same step with cnet."""
    net = cnet.Sequential([cnet.Dense(2, "sigmoid"), cnet.Dense(2, "sigmoid")], dtype="float64")
    net.build(2)
    net.set_weights([W1, B1, W2, B2])
    loss = cnet.losses.Quadratic()
    net.compile(optimizer=cnet.SGD(learning_rate=RATE), loss=loss)

    outputs = net.forward(X)
    net.zero_gradients()
    net.backward(loss.gradient(outputs, T))
    gradients = {name: value.copy() for name, value in net.gradients.items()}
    # The article holds the biases fixed: a gradient of zero moves nothing.
    net.gradients["dense_1.bias"][:] = 0
    net.gradients["dense_2.bias"][:] = 0
    net.apply_gradients()
    return {
        "dW1": gradients["dense_1.weight"],
        "dW2": gradients["dense_2.weight"],
        "W1": net.parameters["dense_1.weight"],
        "W2": net.parameters["dense_2.weight"],
        "E": loss(net.forward(X), T),
    }


def main() -> None:
    formula, compiled = by_formula(), by_cnet()
    print("\nThe same step by cnet: largest difference from the formulas")
    for name, expected in formula.items():
        difference = np.max(np.abs(compiled[name] - expected))
        print(f"  {name:<10} {difference:.1e}")
        if difference > 1e-14:
            raise SystemExit(f"{name} differs from the formula")


if __name__ == "__main__":
    main()
