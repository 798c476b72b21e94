"""The commands of ``python -m bench``, a module each.

A module offers ``add(commands, shared)``, which adds the command with its options, and the function that carries it
out and returns the exit code. What that needs is imported when it is called.
"""
