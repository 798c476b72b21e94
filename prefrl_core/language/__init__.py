"""The InstructGPT pipeline in small (Ouyang et al. 2022): pretraining, demonstrations, K-way rankings, PPO with a KL
penalty and a pretraining mix. Nothing outside imports it."""

import importlib.util

from prefrl_core.errors import require

require(
    importlib.util.find_spec("torch") is not None,
    "the language track needs PyTorch, which is not installed: pip install torch",
)
