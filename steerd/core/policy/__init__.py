"""One policy: what it may use, what it wants, what the kernel has for it."""
