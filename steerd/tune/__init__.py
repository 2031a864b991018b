"""Searching the knobs of the configuration on traces: a layer above replay, with no steering logic of its own."""
