"""The daemon: puts the stages together, starts, reloads and stops them."""
