"""The InstructGPT pipeline in small (Ouyang et al. 2022): pretraining, demonstrations, K-way rankings, PPO with a KL
penalty and a pretraining mix. The one part of the project that needs PyTorch; nothing outside imports it."""

import importlib.util

from prefrl_core.errors import require

require(
    importlib.util.find_spec("torch") is not None,
    "the language track needs PyTorch, which is not installed: pip install 'prefrl-bench[language]'",
)
