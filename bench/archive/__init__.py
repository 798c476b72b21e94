"""Finished runs as one columnar file, a row a run, from which their files are rebuilt to the byte."""
