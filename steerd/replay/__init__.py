"""Recorded or public traces through the same engine that the daemon runs."""
