"""Deciding: which runs a suite needs to tell its arms apart, and when it may stop."""
