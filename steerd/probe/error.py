from steerd.config.change import StageError


class ProbeError(StageError):
    """Probing cannot start, or cannot take these settings. The message is one line for the operator."""


class NoFamilyError(ProbeError):
    """This machine does not have the family at all: nothing can be asked in it."""
