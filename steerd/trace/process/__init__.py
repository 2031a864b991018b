"""The tracing process itself. Nothing that the daemon imports may import this: it brings icmplib and scapy."""
