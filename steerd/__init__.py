"""steerd steers a Linux gateway's traffic to the best edge PoP, without flapping."""

__version__ = "0.1.0"
