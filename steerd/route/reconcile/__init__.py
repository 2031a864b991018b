"""Keeps the kernel as settings and choices want it."""
