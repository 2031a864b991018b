"""Our table of nftables as text: leak guard, pinned connections, clamped TCP. Pure, but for `firewall`."""
