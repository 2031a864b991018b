"""Traces: where a path's own probes go, hop by hop, and which packet size gets through.

A trace runs in a process of its own (`python -m steerd.trace`): a request on its standard input, a record on its
standard output, both JSON. Only that process, `steerd.trace.process`, loads the libraries that craft packets.
"""
