"""How to act: networks, rollouts, advantages and the optimisers that improve a policy."""

from prefrl_core.policy import ppo as ppo  # registers itself
