"""The catalogue of a running daemon: fetched, and taken up as a reload is."""
