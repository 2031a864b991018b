"""Durations, rates, times and lines as people write and read them. Pure."""
