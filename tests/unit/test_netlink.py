"""One netlink socket for as long as the daemon lives: its sequence numbers have 32 bits."""

import pytest

from steerd.net.netlink import Connection, Message
from steerd.route.kernel.codec import link

LAST = (1 << 32) - 1
_NO_SUCH_REQUEST = 0xFFF0  # rtnetlink(7) knows no message of this number: whoever asks, nothing is changed


@pytest.mark.parametrize("left", [0, 1, 2, 3, 300])
def test_after_four_thousand_million_messages_numbers_begin_anew(left: int) -> None:
    nothing = Message(_NO_SUCH_REQUEST, 0, bytes(16))
    with Connection(number=LAST - left) as connection:
        for _ in range(3):
            assert link.decode(connection.dump(link.RTM_GETLINK, link.DUMP_REQUEST))["lo"].index == 1
            refused = connection.change([nothing] * 5)
            assert [one.place for one in refused] == [0, 1, 2, 3, 4]
