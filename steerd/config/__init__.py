"""TOML, checked whole, to the core's and each stage's settings."""
