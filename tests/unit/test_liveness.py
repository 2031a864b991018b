"""What /readyz says of policies."""

from dataclasses import replace

from steerd.core.states import PolicyState
from steerd.core.views import View
from steerd.daemon.liveness import Liveness
from steerd.status.stream import Stream
from tests.unit.test_control_as_json import POLICY


class Driver:
    def __init__(self, *policies):
        self.events = Stream()
        self._view = View(0.0, 1, (), policies, (), {})

    def view(self):
        return self._view


def ready(*policies):
    return Liveness(Driver(*policies)).ready()


def test_a_gateway_is_ready_when_every_policy_has_a_choice_that_its_packets_follow():
    assert ready(POLICY) == (True, "ready")
    waiting = replace(POLICY, policy="late", state=PolicyState.NONE)
    assert ready(POLICY, waiting) == (False, "no choice yet: late")
    astray = replace(POLICY, policy="lost", error="by wan", mismatch="by wan")
    assert ready(waiting, astray, POLICY) == (False, "no choice yet: late; lost: by wan")


def test_what_the_kernel_refused_is_no_reason_as_long_as_another_path_carries():
    assert ready(replace(POLICY, error="no such device")) == (True, "ready")
