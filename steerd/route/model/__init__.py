"""The kernel objects that steering is made of, as values. Pure."""
