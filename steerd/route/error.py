from steerd.config.change import StageError


class RouteError(StageError):
    """Routing cannot start or be configured so. The message names what was found, and what to do."""
