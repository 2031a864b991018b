"""Datagrams with the kernel's time stamps both ways: sockets, filters, the echo packet, the clock."""
