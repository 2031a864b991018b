"""The configuration of the fleet service."""
