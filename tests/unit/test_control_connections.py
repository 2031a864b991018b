"""What `steerctl connections` prints."""

from steerd.control.as_text import connections


def one(path, ipv4=0, ipv6=0, inbound=0, used_by=()):
    return {"path": path, "ipv4": ipv4, "ipv6": ipv6, "inbound": inbound, "used_by": list(used_by)}


def test_those_of_paths_in_use_and_those_that_stay_elsewhere():
    fra, ams = one("fra1/wg", 1200, 3, used_by=["default", "voice"]), one("ams1/wg", 31)
    assert connections({"connections": [fra, ams, one("par1/wg")]}).splitlines() == [
        "PATH      IPV4  IPV6  INBOUND  USED BY",
        "fra1/wg  1,200     3        0  default, voice",
        "ams1/wg     31     0        0  -",
        "",
        "31 on paths that no policy uses: they stay until they end, or their policy's max_drain is over",
    ]


def test_where_nothing_is_pinned():
    assert connections({"connections": [one("fra1/wg", used_by=["default"])]}) == "no connection is pinned to a path"
