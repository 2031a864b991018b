"""A PoP's agent, `steerd agent`: says how the PoP is, how far others are from it, and answers probes."""
