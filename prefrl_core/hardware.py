"""Where networks over pixels are evaluated, and in which numbers. Importing this needs no PyTorch."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from prefrl_core.errors import UserError, require

THREADS = "PREFRL_THREADS"  # the environment variable that says how many threads step the environments of a run


@dataclass(frozen=True)
class Hardware:
    """``device``: "cpu" or "cuda"; ``precision``: "bfloat16" or "float32". Parameters are always float32.
    ``interleaved`` puts the channels of a pixel side by side in a processor's memory: convolutions of float32 are
    faster so."""

    device: str = "cpu"
    precision: str = "bfloat16"
    interleaved: bool = False

    def torch(self) -> Any:
        """PyTorch, set up so that the same numbers come out every time: one thread, deterministic algorithms.

        Raises:
            UserError: PyTorch is missing, or the graphics card that was asked for.
        """
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what cuBLAS needs to be deterministic
        try:
            import torch
        except ModuleNotFoundError as error:
            raise UserError("tasks over pixels need PyTorch: pip install torch") from error
        if self.device == "cuda" and not torch.cuda.is_available():
            raise UserError(
                "device = 'cuda', but PyTorch finds no graphics card here: leave device out of the spec (or set device "
                "= 'cpu') to run on the processor"
            )
        if self.device == "cuda" and self.precision == "bfloat16" and not torch.cuda.is_bf16_supported():
            raise UserError(
                "precision = 'bfloat16', which this graphics card does not know: set precision = 'float32' in the spec"
            )
        torch.set_num_threads(1)  # more would change the order of sums; a run uses one core
        torch.use_deterministic_algorithms(True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        torch.backends.cudnn.benchmark = False
        return torch

    def remark(self) -> str:
        """What to tell whoever waits for a run, in a line: that a processor has to imitate bfloat16; else nothing."""
        if (self.device, self.precision) != ("cpu", "bfloat16") or self.torch().ops.mkldnn._is_mkldnn_bf16_supported():
            return ""
        return (
            "this processor has no instructions for bfloat16, which PyTorch imitates slowly: a suite with precision = "
            "'float32' (and interleaved = true) is faster here"
        )

    @property
    def threads(self) -> int:
        """Threads that step the environments: one beside others like it; where a card does the learning, as many as
        the environment variable ``PREFRL_THREADS`` says (runs side by side share the cores), else one a core.

        Raises:
            UserError: the variable holds no whole number above 0.
        """
        said = os.environ.get(THREADS)
        if self.device == "cpu":
            return 1
        if said is None:
            return os.cpu_count() or 1
        require(said.isdecimal() and int(said) > 0, f"the environment says {THREADS}={said!r}: give a number above 0")
        return int(said)
