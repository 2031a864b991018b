"""The fleet service: hears all gateways and PoPs, keeps the last of each, and shows it. It decides nothing."""
