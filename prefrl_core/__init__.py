"""Reinforcement learning from human preferences: the method (Christiano et al. 2017)."""

__version__ = "0.1.0"
