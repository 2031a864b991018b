"""The kernel through netlink: read, changed, watched. Synchronous, for one thread."""
