"""Targets that are host names."""
