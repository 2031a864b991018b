"""Packets out, outcomes in: one raw socket per family, one tick wheel, kernel time stamps both ways."""
