"""A surrogate for a simulation, in float64: values and derivatives from a network.

A projectile flies with quadratic drag. How far it gets follows from its speed, its angle and its
drag by a differential equation that is integrated step by step. The network learns that function
from 4,000 flights, and then answers without integrating; its derivatives with respect to
the inputs, by backpropagation, say which way to turn the gun.

Run it with `python examples/regression_float64.py`; it takes a few seconds.
"""

import time

import numpy as np

import cnet

GRAVITY = 9.81  # m/s^2
LOW = np.array([20.0, np.radians(20.0), 0.0])  # speed in m/s, angle, drag in 1/m
HIGH = np.array([60.0, np.radians(70.0), 0.01])


def ranges(inputs, steps=400):
    """Return how far projectiles fly, in metres.

    Parameters
    ----------
    inputs : (N, 3) array
        Speed (m/s), angle (radians), drag coefficient k (1/m): the air slows it down by k v^2.
    steps : int
        Of the Runge-Kutta method, over the time that the flight would take without air.

    Returns
    -------
    (N,) array
    """
    speed, angle, drag = inputs.T
    velocity = np.stack([speed * np.cos(angle), speed * np.sin(angle)])
    place = np.zeros_like(velocity)
    h = 2 * velocity[1] / GRAVITY / steps
    found = np.full(len(inputs), np.nan)

    def acceleration(v):
        return -drag * np.hypot(*v) * v - np.array([[0.0], [GRAVITY]])

    for _ in range(steps):
        k1 = acceleration(velocity)
        k2 = acceleration(velocity + h / 2 * k1)
        k3 = acceleration(velocity + h / 2 * k2)
        k4 = acceleration(velocity + h * k3)
        after = velocity + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        # Simpson's rule, with the velocity half-way: fourth order as well.
        half = velocity + h / 24 * (5 * k1 + 4 * k2 + 4 * k3 - k4)
        there = place + h / 6 * (velocity + 4 * half + after)
        landed = np.isnan(found) & (there[1] <= 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            share = place[1] / (place[1] - there[1])
            found = np.where(landed, place[0] + share * (there[0] - place[0]), found)
        place, velocity = there, after
    # Without air it lands in the last step, but for rounding.
    return np.where(np.isnan(found), place[0], found)


def main() -> None:
    rng = np.random.default_rng(0)
    x = LOW + (HIGH - LOW) * rng.random((5000, 3))
    began = time.perf_counter()
    y = ranges(x)
    simulated = time.perf_counter() - began

    # Networks like inputs and targets of about unit size.
    def unit(inputs):
        return (inputs - (LOW + HIGH) / 2) / ((HIGH - LOW) / 2)

    mean, deviation = y[:4000].mean(), y[:4000].std()
    targets = (y - mean) / deviation

    net = cnet.Sequential(
        [cnet.Dense(48, "tanh"), cnet.Dense(48, "tanh"), cnet.Dense(1)], seed=1, dtype="float64"
    )
    for rate, epochs in ((3e-3, 60), (3e-4, 40), (3e-5, 20)):
        net.compile(optimizer=cnet.Adam(learning_rate=rate), loss="mse", metrics=["rmse"])
        history = net.fit(
            unit(x[:4000]),
            targets[:4000],
            epochs=epochs,
            batch_size=40,
            validation_data=(unit(x[4000:]), targets[4000:]),
            verbose=0,
        )
        error = history["val_rmse"][-1] * deviation
        print(f"learning rate {rate:g}, {epochs} epochs: off by {error:.3f} m (root mean square)")

    began = time.perf_counter()
    predicted = net.predict(unit(x))[:, 0] * deviation + mean
    asked = time.perf_counter() - began
    worst = np.abs(predicted[4000:] - y[4000:]).max()
    print(
        f"ranges go from {y.min():.0f} m to {y.max():.0f} m; largest error held out {worst:.2f} m"
    )
    print(f"5,000 flights: {simulated * 1e3:.0f} ms simulated, {asked * 1e3:.1f} ms predicted")

    # The derivative of the output by one backward pass that starts with 1; then undo the scaling.
    shot = np.array([[40.0, np.radians(45.0), 0.005]])
    net.forward(unit(shot))
    slope = net.backward(np.ones((1, 1)))[0] * deviation / ((HIGH - LOW) / 2)
    step = 1e-4 * (HIGH - LOW)
    central = [
        (ranges(shot + step * e)[0] - ranges(shot - step * e)[0]) / (2 * step[i])
        for i, e in enumerate(np.eye(3))
    ]
    print("\nat 40 m/s, 45 degrees, k = 0.005 per metre   network   simulation")
    per_degree = np.radians(1.0)
    for name, a, b in (
        ("metres per m/s of speed", slope[0], central[0]),
        ("metres per degree of angle", slope[1] * per_degree, central[1] * per_degree),
        ("metres per 0.001 of drag", slope[2] * 1e-3, central[2] * 1e-3),
    ):
        print(f"{name:<44} {a:>8.3f} {b:>12.3f}")
    if not error < 0.01 * deviation:
        raise SystemExit("the surrogate is off by more than a hundredth of the ranges' spread")


if __name__ == "__main__":
    main()
