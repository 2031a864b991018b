from steerd.config.change import StageError


class ProbeError(StageError):
    """Probing can not start, or can not take these settings. The message is one line for the operator."""
