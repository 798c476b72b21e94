"""What is said of a graphics card that fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import fault, worker

ADVICE = (  # what PyTorch says behind every error of a card
    "\nSearch for it in https://docs.nvidia.com\nCUDA kernel errors might be asynchronously reported at some other API "
    "call.\nFor debugging consider passing CUDA_LAUNCH_BLOCKING=1\n"
    "Compile with `TORCH_USE_CUDA_DSA` to enable device-side assertions.\n"
)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            RuntimeError("CUDA error: unspecified launch failure" + ADVICE),
            "failed (CUDA error: unspecified launch",
        ),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), "no memory left: use fewer --workers"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"), "no memory left: use fewer --workers"),
        (
            RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
            "failed (cuDNN error: CUDNN_STATUS_EXECUTION_FAILED)",
        ),
    ],
)
def test_a_card_that_fails_is_told_in_a_line_and_is_no_fault_of_ours(error: Exception, said: str) -> None:
    line = worker.in_words(Path("run"), error)
    assert said in line and "\n" not in line and line.endswith("it goes on from the last checkpoint")
    assert not worker.is_fault(error)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: misaligned address" + ADVICE),
        RuntimeError("CUDA error: an illegal memory access was encountered" + ADVICE),
        RuntimeError("CUDA error: device-side assert triggered" + ADVICE),
        RuntimeError("shapes do not fit"),
        ValueError("CUDA error: what"),
    ],
)
def test_what_a_card_only_found_is_ours(error: Exception) -> None:
    assert not fault.of_card(error) and worker.is_fault(error)
    assert "a fault of ours" in worker.in_words(Path("run"), error)
