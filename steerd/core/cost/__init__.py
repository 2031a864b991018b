"""Belief to cost: one number in ms per policy and path, the sum of named terms."""
