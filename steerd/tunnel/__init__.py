"""What the tunnels that paths lead through say of themselves: WireGuard's handshakes and counters."""
