"""What may go wrong with the load."""


class LoadError(Exception):
    """The load cannot be read now. The message is one line for the operator."""
