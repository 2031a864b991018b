"""What a reflector claims to have held a probe for: believed as far as shorter round trips were seen."""

from steerd.probe.stamp.residence import SPAN, Residence


def test_a_busy_moment_is_believed_once_a_quick_answer_was_seen():
    claims = Residence()
    assert not claims.plausible(0.030, 0.010, 0.0)
    assert claims.plausible(0.0201, 0.0001, 1.0)
    assert claims.plausible(0.030, 0.010, 2.0)


def test_what_would_lead_below_the_shortest_round_trip_is_not_believed():
    claims = Residence()
    for n in range(300):
        assert not claims.plausible(0.050 + n % 3 / 1000, 0.047, n)
        assert claims.plausible(0.050, 0.0009, n)


def test_a_path_that_has_become_longer_is_held_to_what_it_is_now():
    claims = Residence()
    assert claims.plausible(0.020, 0.0, 0.0)
    assert claims.plausible(0.070, 0.047, 1.0)
    for n in range(2, int(2 * SPAN) + 3):
        claims.plausible(0.070, 0.0, n)
    assert not claims.plausible(0.070, 0.047, 2 * SPAN + 3)


def test_after_a_long_silence_nothing_is_known():
    claims = Residence()
    assert claims.plausible(0.020, 0.0, 0.0)
    assert not claims.plausible(0.070, 0.047, 10 * SPAN)
