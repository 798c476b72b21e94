"""The hand-derived gradients against finite differences and autograd; Adam against PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from prefrl_core.networks import MLP, Activation, Adam, Parameters, clip_norm


def network(activation: Activation, sizes: tuple[int, ...] = (5, 8, 7, 3)) -> tuple[MLP, Parameters]:
    parameters = Parameters(MLP.count(sizes))
    made = MLP(sizes, activation, parameters)
    made.initialise_uniform(np.random.default_rng(1))
    return made, parameters


def torch_twin(made: MLP) -> torch.nn.Sequential:
    layers: list[torch.nn.Module] = []
    for weight, bias in zip(made.weights, made.biases, strict=True):
        linear = torch.nn.Linear(*weight.shape)
        linear.weight.data = torch.tensor(weight.T.copy())
        linear.bias.data = torch.tensor(bias.copy())
        layers += [linear, torch.nn.Tanh() if made.activation == "tanh" else torch.nn.LeakyReLU(0.01)]
    return torch.nn.Sequential(*layers[:-1])


def flat_gradient(twin: torch.nn.Sequential) -> np.ndarray:
    layers = [layer for layer in twin if isinstance(layer, torch.nn.Linear)]
    return np.concatenate([part for x in layers for part in (x.weight.grad.T.reshape(-1), x.bias.grad)])


@pytest.mark.parametrize("activation", ["tanh", "leaky_relu"])
def test_outputs_and_gradient_equal_autograd(activation: Activation) -> None:
    made, parameters = network(activation)
    twin = torch_twin(made)
    random = np.random.default_rng(2)
    for rows in (11, 4, 11):  # back to a number of rows whose workspace is kept
        inputs, weights = random.standard_normal((rows, 5), np.float32), random.standard_normal((rows, 3), np.float32)
        parameters.gradient[:] = 0
        outputs = made.forward(inputs).copy()
        made.backward(weights)
        twin.zero_grad()
        expected = twin(torch.tensor(inputs))
        (expected * torch.tensor(weights)).sum().backward()
        np.testing.assert_allclose(outputs, expected.detach(), atol=1e-6)
        np.testing.assert_allclose(parameters.gradient, flat_gradient(twin), atol=1e-5)


def test_gradient_equals_finite_differences() -> None:
    made, parameters = network("tanh", (3, 6, 2))
    inputs, weights = np.random.default_rng(3).standard_normal((2, 9, 3), np.float32)
    weights = weights[:, :2].copy()
    made.forward(inputs)
    made.backward(weights)
    found = parameters.gradient.copy()
    for index in range(0, len(found), 3):
        sides = []
        for shift in (1e-2, -1e-2):
            parameters.values[index] += np.float32(shift)
            sides.append(float((made.forward(inputs) * weights).sum()))
            parameters.values[index] -= np.float32(shift)
        assert found[index] == pytest.approx((sides[0] - sides[1]) / 2e-2, abs=2e-3)


def test_a_gradient_takes_the_place_of_the_one_before() -> None:
    """And leaves what belongs to others alone."""
    parameters = Parameters(MLP.count((5, 4, 3)) + 2)
    made = MLP((5, 4, 3), "tanh", parameters)
    inputs, weights = np.ones((2, 5), np.float32), np.ones((2, 3), np.float32)
    made.forward(inputs)
    made.backward(weights)
    once = parameters.gradient.copy()
    parameters.gradient[-2:] = 7
    made.forward(inputs)
    made.backward(2 * weights)
    np.testing.assert_allclose(parameters.gradient, [*2 * once[:-2], 7, 7], rtol=1e-6)


def test_adam_equals_pytorch() -> None:
    random = np.random.default_rng(4)
    parameters = Parameters(20)
    parameters.values[:] = random.standard_normal(20)
    twin = torch.nn.Parameter(torch.tensor(parameters.values.copy()))
    ours, theirs = Adam(parameters, 0.01, 1e-5), torch.optim.Adam([twin], 0.01, eps=1e-5)
    for _ in range(50):
        gradient = random.standard_normal(20).astype(np.float32)
        parameters.gradient[:] = gradient
        twin.grad = torch.tensor(gradient)
        ours.step()
        theirs.step()
    np.testing.assert_allclose(parameters.values, twin.detach(), atol=2e-6)
    assert not parameters.gradient.any()


def test_adam_goes_on_from_its_state() -> None:
    def run(resume: bool) -> np.ndarray:
        parameters = Parameters(4)
        optimiser = Adam(parameters, 0.1)
        for step in range(6):
            if resume and step == 3:
                state = optimiser.get_state()
                parameters = Parameters(4)
                optimiser = Adam(parameters, 0.1)
                optimiser.set_state(state)
            parameters.gradient[:] = np.arange(4) - step
            optimiser.step()
        return parameters.values

    assert run(True).tobytes() == run(False).tobytes()


def test_clip_norm() -> None:
    gradient = np.array([3, 4], np.float32)
    assert clip_norm(gradient, 10) == 5 and gradient.tolist() == [3, 4]
    assert clip_norm(gradient, 0.5) == 5
    assert np.linalg.norm(gradient) == pytest.approx(0.5, rel=1e-5)


def test_orthogonal_initialisation() -> None:
    parameters = Parameters(MLP.count((6, 8, 2)))
    made = MLP((6, 8, 2), "tanh", parameters)
    made.initialise_orthogonal(np.random.default_rng(0), 0.01)
    np.testing.assert_allclose(made.weights[0] @ made.weights[0].T, 2 * np.eye(6), atol=1e-6)
    np.testing.assert_allclose(made.weights[1].T @ made.weights[1], 1e-4 * np.eye(2), atol=1e-9)
