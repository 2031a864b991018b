"""Speaking with the kernel below every stage: netlink, network devices, WireGuard."""
