"""Reinforcement learning from human preferences: the method (Christiano et al. 2017)."""

__version__ = "0.1.0"

# Raised whenever a change to the method alters the numbers of a run; stands in every run's key and in the changelog.
METHOD_VERSION = 4
