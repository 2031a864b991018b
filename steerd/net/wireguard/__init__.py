"""Speaking with WireGuard: the kernel's by generic netlink, wireguard-go by its socket. Both give and take the same.

Private and preshared keys are in what either answers; nothing here keeps, shows or logs them.
"""
