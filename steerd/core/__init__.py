"""The thinking: pure, without clock, I/O or randomness of its own.

Units, everywhere below: times and durations in seconds (``now`` is monotonic), RTTs in events in
seconds; beliefs and costs in milliseconds, because prices are stated in ms; loss as a ratio 0 to 1.
"""
