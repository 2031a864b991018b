"""The engine in a virtual network with a virtual kernel, in virtual time."""
