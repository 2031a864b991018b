from steerd.config.change import StageError


class RouteError(StageError):
    """Routing cannot start, or cannot be configured so. The message names what is in the way, and what to do."""
