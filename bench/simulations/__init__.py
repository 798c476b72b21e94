"""What the statistics promise, held against simulated suites: ``python -m bench.simulations``."""
