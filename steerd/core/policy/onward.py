"""How far it is from each PoP on to the service that a policy's traffic is for."""

from collections.abc import Iterable

from steerd.core.cost.backbone import Backbone
from steerd.core.policy.policy import Policy


def lead(policies: Iterable[Policy], backbone: Backbone, now: float) -> None:
    """Charge each policy with a service for the ways there, where they, or the policy, may have changed."""
    due = backbone.look(now)
    for policy in policies:
        if policy.settings.service and (due or policy.ways is None):
            policy.lead(backbone, now)
