"""Which size of packets gets through each path."""
