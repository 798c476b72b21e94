"""Is this build worse than a committed baseline? ``docs/gate.md`` defines the verdicts."""
