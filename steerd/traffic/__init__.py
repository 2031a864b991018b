"""What this gateway's own traffic amounts to, path by path."""
