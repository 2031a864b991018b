"""The world itself: hosts, wires, PoPs, users, in network namespaces of an enclosure."""
