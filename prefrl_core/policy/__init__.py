"""How to act: networks, rollouts, advantages and the optimisers that improve a policy."""

from prefrl_core.policy import a2c as a2c  # they register themselves
from prefrl_core.policy import ppo as ppo
from prefrl_core.policy import sac as sac
from prefrl_core.policy import trpo as trpo
