"""How to act: networks, rollouts, advantages and the optimisers that improve a policy."""
