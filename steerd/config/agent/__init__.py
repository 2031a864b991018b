"""The configuration of a PoP's agent."""
