"""Where on the way does it go wrong? The way of a path's own probes, hop by hop, and what fits through it.

A trace runs in a process of its own (`python -m steerd.trace`): a request on its standard input, a record on its
standard output, both JSON. `steerd.trace.process` is that process; the daemon knows the rest of this package only,
so that it never pays for the libraries that craft packets.
"""
