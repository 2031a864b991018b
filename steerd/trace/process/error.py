"""Why a trace cannot be made at all."""


class TraceError(Exception):
    """The message is for whoever asked for the trace."""
