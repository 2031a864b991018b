"""How many files this process may have open: methods with a socket for each leg, or each probe, need many."""

import contextlib
import resource


def allow_many() -> None:
    """Raise the soft limit to the hard one. Programs that use select(2) are why it is lower; this is none."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
