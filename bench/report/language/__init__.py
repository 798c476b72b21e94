"""The report of a suite of language runs: what differs from the other reports is in this folder."""
