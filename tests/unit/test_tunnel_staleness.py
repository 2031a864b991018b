"""When a WireGuard tunnel is stale, in literal seconds."""

from steerd.net.wireguard.device import Peer
from steerd.tunnel.staleness import Staleness

KEY = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="
WALL = 1_700_000_000.0  # Unix time at second 0


def story(*readings, keepalive=0):
    """Readings ``(second, second of the handshake or None, rx, tx)``; what was said after each."""
    one, said = Staleness(), []
    for now, handshake, rx, tx in readings:
        one.take(Peer(KEY, 0.0 if handshake is None else WALL + handshake, rx, tx, keepalive), float(now), WALL + now)
        said.append(one.why(float(now)))
    return said


def test_a_tunnel_that_answers_is_fresh_at_any_age_up_to_180_s():
    assert story(*((at, 0, 128 * at, 128 * at) for at in range(0, 181, 5))) == [""] * 37


def test_what_is_sent_and_not_answered_for_15_s():
    said = story((0, 0, 0, 0), *((at, 0, 0, 128 * at) for at in range(1, 18)))
    assert said[:16] == [""] * 16
    assert said[16:] == [
        "WireGuard: sent for 15 s and nothing came back, latest handshake 16 s ago",
        "WireGuard: sent for 16 s and nothing came back, latest handshake 17 s ago",
    ]


def test_a_peer_that_only_receives_sends_a_keepalive_every_10_s_and_is_fresh():
    said = story((0, 0, 0, 0), *((at, 0, 32 * (at // 10), 1000 * at) for at in range(1, 60)))
    assert set(said) == {""}


def test_the_first_answer_ends_it():
    said = story((0, 0, 0, 0), (1, 0, 0, 128), (20, 0, 0, 256), (21, 0, 148, 384), (22, 0, 148, 512))
    assert [bool(one) for one in said] == [False, False, True, False, False]


def test_an_idle_tunnel_is_fresh_however_old_its_handshake_is():
    assert story((0, -5000, 10, 10), (60, -5000, 10, 10), (3600, -5000, 10, 10)) == ["", "", ""]


def test_keepalives_ask_for_no_answer():
    """A persistent keepalive every 25 s, to a peer that has none: nothing comes back, and nothing should."""
    said = story((0, 0, 0, 0), *((at, 0, 0, 32 * (at // 25)) for at in range(1, 170)), keepalive=25)
    assert set(said) == {""}


def test_a_probe_beside_the_keepalive_does():
    said = story((0, 0, 0, 0), (1, 0, 0, 32 + 128), *((at, 0, 0, 160) for at in range(2, 18)), keepalive=25)
    assert [bool(one) for one in said].index(True) == 16


def test_a_handshake_older_than_180_s_and_none_that_succeeds():
    """Five seconds after the first packet that no session can carry, whatever comes in meanwhile."""
    said = story((0, -181, 0, 0), (1, -181, 148, 148), (3, -181, 296, 148), (6, -181, 444, 296))
    assert said == ["", "", "", "WireGuard: latest handshake 187 s ago, and none succeeds"]


def test_the_session_ends_at_180_s():
    assert story((0, 0, 0, 0), (180, 0, 9, 900), (185, 0, 18, 1800), (186, 0, 27, 2700))[-1] == ""
    said = story((0, 0, 0, 0), (181, 0, 9, 900), (185.9, 0, 18, 1800), (186, 0, 27, 2700))
    assert said[-2:] == ["", "WireGuard: latest handshake 186 s ago, and none succeeds"]


def test_a_tunnel_that_never_came_up():
    said = story((0, None, 0, 0), (1, None, 0, 148), (5, None, 0, 148), (6, None, 0, 296), (7, 6.5, 92, 444))
    assert said == ["", "", "", "WireGuard: no handshake yet, and none succeeds", ""]


def test_one_that_nobody_uses_is_not_missed():
    assert story((0, None, 0, 0), (100, None, 0, 0)) == ["", ""]


def test_a_device_that_was_made_anew_begins_anew():
    said = story((0, 0, 500, 500), (1, 0, 500, 900), (20, None, 0, 0), (40, None, 0, 0))
    assert said == [""] * 4


def test_another_peer_begins_anew():
    one = Staleness()
    one.take(Peer(KEY, WALL, 10, 10), 0.0, WALL)
    one.take(Peer(KEY, WALL, 10, 900), 1.0, WALL + 1.0)
    one.take(Peer("other", WALL, 10, 9000), 20.0, WALL + 20.0)
    assert one.why(20.0) == ""


def test_the_wall_clock_may_step_once_a_handshake_is_known():
    """An hour forth at second 10: ages are reckoned on the monotonic clock."""
    one = Staleness()
    for now, wall, rx in ((0.0, WALL, 0), (10.0, WALL + 3610.0, 9), (20.0, WALL + 3620.0, 18)):
        one.take(Peer(KEY, WALL, rx, rx * 100), now, wall)
    assert (one.age(20.0), one.why(20.0)) == (20.0, "")


def test_a_new_handshake_is_no_older_than_the_reading_before():
    one = Staleness()
    one.take(Peer(KEY, WALL, 0, 0), 0.0, WALL)
    one.take(Peer(KEY, WALL + 0.5, 0, 0), 1.0, WALL + 1000.0)
    assert one.age(1.0) == 1.0
    one.take(Peer(KEY, WALL + 9.0, 0, 0), 2.0, WALL + 2.0)  # the wall clock was set back
    assert one.age(2.0) == 0.0


def test_an_age_that_is_not_known():
    one = Staleness()
    assert (one.age(1.0), one.why(1.0)) == (None, "")
