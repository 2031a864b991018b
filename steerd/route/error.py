class RouteError(Exception):
    """Routing can not start or be configured so. The message names what was found, and what to do."""
