"""The connection to a broker: whatever it sends, and whoever uses it."""
