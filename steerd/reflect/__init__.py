"""The far end of probes by UDP: `steerd reflect`, for a machine at a PoP."""
