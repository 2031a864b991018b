"""Traces as they are read, kept and put on one grid."""
