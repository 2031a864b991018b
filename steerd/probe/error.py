from steerd.config.change import StageError


class ProbeError(StageError):
    """Probing cannot start, or cannot take these settings. The message is one line for the operator."""
