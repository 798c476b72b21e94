"""Parameters of networks in PyTorch, and the optimisers of ``networks.py`` for them: the same interface over tensors.

Values and gradients are one flat tensor each, of which the layers' are views, so that a gradient norm or a step is a
few operations however many layers there are, and a checkpoint holds one array.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from prefrl_core.frames import interleaved
from prefrl_core.hardware import Hardware

_CHUNK = 1 << 16  # numbers that stay in the processor's cache through the operations of a step


class Tensors:
    """Flat float32 values and gradient. Layers take leaves of the autograd graph from it, whose gradients add up in it.

    Args:
        size: numbers in all.
        hardware: where they are kept.
    """

    def __init__(self, size: int, hardware: Hardware) -> None:
        self.hardware = hardware
        self.values = torch.zeros(size, device=hardware.device)
        self.gradient = torch.zeros(size, device=hardware.device)
        self.dtype: torch.dtype = getattr(torch, hardware.precision)
        self._used = 0
        self.changes = 0  # that the values have gone through: what is computed from them is stale after one

    def take(self, *shape: int) -> torch.Tensor:
        """The next free stretch, as a leaf."""
        span = slice(self._used, self._used + math.prod(shape))
        self._used = span.stop
        leaf = self.values[span].view(shape).requires_grad_()
        leaf.grad = self.gradient[span].view(shape)
        return leaf

    def set(self, values: NDArray[np.float32]) -> None:
        """Overwrite all values."""
        self.values.copy_(torch.from_numpy(values))
        self.changes += 1

    def get(self) -> NDArray[np.float32]:
        """All values, copied."""
        return to_numpy(self.values)

    def adam(self, learning_rate: float, epsilon: float = 1e-8) -> TensorAdam:
        """An optimiser of these."""
        return TensorAdam(self, learning_rate, epsilon)

    def rmsprop(self, learning_rate: float, decay: float, epsilon: float) -> TensorRMSProp:
        """An optimiser of these."""
        return TensorRMSProp(self, learning_rate, decay, epsilon)

    def clip_gradient(self, limit: float) -> None:
        """Scale the gradient so that its norm is at most ``limit``."""
        norm = torch.linalg.vector_norm(self.gradient)
        self.gradient *= torch.clamp(limit / (norm + 1e-6), max=1.0)

    def finite(self) -> bool:
        """No value is NaN or infinite."""
        return bool(torch.isfinite(self.values.sum()))  # one pass; what is not finite stays so in a sum


class Moments:
    """PyTorch's own Adam over some leaves, in one pass over memory, with a state of arrays."""

    def __init__(self, leaves: Sequence[torch.Tensor], learning_rate: float, epsilon: float = 1e-8) -> None:
        self.leaves = leaves
        self._adam = torch.optim.Adam(leaves, learning_rate, eps=epsilon, fused=True)

    @property
    def steps(self) -> int:
        """Steps taken."""
        return max((int(each["step"]) for each in self._adam.state.values() if "step" in each), default=0)

    @property
    def learning_rate(self) -> float:
        """Of the next step."""
        return float(self._adam.param_groups[0]["lr"])

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self._adam.param_groups[0]["lr"] = value

    def step(self) -> None:
        """Apply the gradients and set them to zero."""
        self._adam.step()
        self._adam.zero_grad(set_to_none=False)

    def get_state(self) -> dict[str, Any]:
        """Copies of the moments, by the place of their leaf; none before the first step."""
        saved = self._adam.state_dict()["state"]
        return {str(place): {name: to_numpy(value) for name, value in each.items()} for place, each in saved.items()}

    def set_state(self, state: dict[str, Any]) -> None:
        """The reverse of ``get_state``."""
        moments = {
            int(place): {name: torch.from_numpy(np.array(value)) for name, value in each.items()}
            for place, each in state.items()
        }
        self._adam.load_state_dict({**self._adam.state_dict(), "state": moments})


class TensorAdam(Moments):
    """Adam on all of a ``Tensors``."""

    def __init__(self, parameters: Tensors, learning_rate: float, epsilon: float) -> None:
        parameters.values.grad = parameters.gradient
        super().__init__([parameters.values], learning_rate, epsilon)
        self.parameters = parameters

    def step(self) -> None:
        """Apply the gradient and set it to zero."""
        super().step()
        self.parameters.changes += 1

    def get_state(self) -> dict[str, Any]:
        """Parameters and moments, as copies."""
        return {"values": self.parameters.get(), "moments": super().get_state()}

    def set_state(self, state: dict[str, Any]) -> None:
        """The reverse of ``get_state``."""
        self.parameters.set(state["values"])
        super().set_state(state["moments"])


class TensorRMSProp:
    """RMSProp as in ``networks.py``: epsilon inside the root, second moments from 1."""

    def __init__(self, parameters: Tensors, learning_rate: float, decay: float, epsilon: float) -> None:
        self.parameters, self.learning_rate, self.decay, self.epsilon = parameters, learning_rate, decay, epsilon
        self.second = torch.ones_like(parameters.values)

    def step(self) -> None:
        """Apply the gradient and set it to zero."""
        size = _CHUNK if self.parameters.hardware.device == "cpu" else len(self.second)
        with torch.no_grad():
            for part in blocks(len(self.second), size):
                values, gradient = self.parameters.values[part], self.parameters.gradient[part]
                second = self.second[part]
                second.mul_(self.decay).addcmul_(gradient, gradient, value=1 - self.decay)
                values.addcdiv_(gradient, (second + self.epsilon).sqrt_(), value=-self.learning_rate)
                gradient.zero_()
        self.parameters.changes += 1

    def get_state(self) -> dict[str, Any]:
        """Parameters and second moments, as copies."""
        return {"values": self.parameters.get(), "second": to_numpy(self.second)}

    def set_state(self, state: dict[str, Any]) -> None:
        """The reverse of ``get_state``."""
        self.parameters.set(state["values"])
        self.second.copy_(torch.from_numpy(state["second"]))


def to_numpy(tensor: torch.Tensor) -> NDArray[Any]:
    """A copy in NumPy's hands."""
    return tensor.detach().cpu().numpy().copy()


def from_numpy(array: NDArray[Any], hardware: Hardware) -> torch.Tensor:
    """An array of numbers or of stacked frames where the networks are; frames stay uint8."""
    return torch.from_numpy(np.ascontiguousarray(array)).to(hardware.device)


def pixels(observations: NDArray[np.uint8], hardware: Hardware) -> torch.Tensor:
    """Observations ``(rows, STACK, height, width)`` where the networks are, uint8; rows can be taken of them. Where the
    hardware says so they are interleaved: ``(rows, height, width, STACK)``."""
    return from_numpy(interleaved(observations) if hardware.interleaved else observations, hardware)


def inputs(rows: torch.Tensor, hardware: Hardware) -> torch.Tensor:
    """Rows of ``pixels`` as what convolutions take: ``(rows, STACK, height, width)`` in the precision of the
    arithmetic, in the order in memory that is fastest there."""
    numbers = rows.to(getattr(torch, hardware.precision))
    if hardware.interleaved:
        return numbers.permute(0, 3, 1, 2)
    if hardware.device != "cpu":
        return numbers.contiguous(memory_format=torch.channels_last)
    return numbers


def cast(parameters: torch.Tensor, hardware: Hardware) -> torch.Tensor:
    """A layer's parameters in the precision of the arithmetic. For a graphics card they are always copied: a layer's
    begin anywhere in the flat tensor, and the card reads 16 bytes at a time, from places that 16 divides."""
    return parameters.to(getattr(torch, hardware.precision), copy=hardware.device != "cpu")


def kernels(weight: torch.Tensor, hardware: Hardware) -> torch.Tensor:
    """Weights of a convolution in the precision of the arithmetic, in the order that goes with ``inputs``."""
    numbers = cast(weight, hardware)
    return numbers.contiguous(memory_format=torch.channels_last) if hardware.interleaved else numbers


def blocks(rows: int, size: int) -> Sequence[slice]:
    """Slices of at most ``size`` rows."""
    return [slice(start, min(start + size, rows)) for start in range(0, rows, size)]
