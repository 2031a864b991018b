class ProbeError(Exception):
    """Probing can not start, or can not take these settings. The message is one line for the operator."""
