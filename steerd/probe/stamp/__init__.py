"""The Simple Two-Way Active Measurement Protocol (RFC 8762, RFC 8972), as the sender sees it."""
