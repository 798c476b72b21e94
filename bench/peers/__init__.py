"""The same task in other libraries, each in an environment of its own, timed and scored beside ours in one run."""
