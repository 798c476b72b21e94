"""The laboratory: describes runs, executes them, keeps what they measured and shows it."""
