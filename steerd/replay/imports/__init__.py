"""Traces out of what other tools wrote: one parser a format, one registry that recognises them by content."""
