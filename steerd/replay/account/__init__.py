"""What choices on a trace cost, and what could have been gained. Pure."""
