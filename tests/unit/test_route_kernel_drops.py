"""What the kernel's counters say of dropped packets, from pages as they are in /proc."""

import pytest

from steerd.route.around.kernel_drops import KernelDrops

NETSTAT = "TcpExt: SyncookiesSent IPReversePathFilter\nTcpExt: 0 {}\nIpExt: InNoRoutes InTruncatedPkts\nIpExt: {} 0\n"
SNMP = "Ip: Forwarding FragOKs FragFails\nIp: 1 0 {}\nIcmp: InMsgs\nIcmp: 3\n"
CONNTRACK = (
    "entries  clashres drop early_drop\n0000000a  00000000 0000000{} 00000000\n0000000a  00000000 00000001 00000000\n"
)


@pytest.fixture
def proc(tmp_path):
    class Proc:
        def write(self, *, filtered=0, unrouted=0, large=0, blocked=0, martians=0, dropped=0, count=10, most=100):
            net, limits = tmp_path / "thread-self/net", tmp_path / "sys/net/netfilter"
            (net / "stat").mkdir(parents=True, exist_ok=True)
            limits.mkdir(parents=True, exist_ok=True)
            (net / "netstat").write_text(NETSTAT.format(filtered, unrouted))
            (net / "snmp").write_text(SNMP.format(large))
            (net / "snmp6").write_text("Ip6InNoRoutes                   \t0\n")
            (net / "xfrm_stat").write_text(f"XfrmInError             \t0\nXfrmOutPolBlock         \t{blocked}\n")
            (net / "stat/nf_conntrack").write_text(CONNTRACK.format(dropped))
            (net / "stat/rt_cache").write_text(
                f"entries  in_martian_dst in_martian_src \n0  0 {martians:x} \n0  1 2 \n"
            )
            (limits / "nf_conntrack_count").write_text(f"{count}\n")
            (limits / "nf_conntrack_max").write_text(f"{most}\n")

    return Proc()


def test_each_counter_that_has_grown_is_a_reason_of_its_family(proc, tmp_path):
    drops = KernelDrops(tmp_path)
    proc.write(filtered=7, unrouted=7, large=7, blocked=7)
    assert drops.reasons(0.0) == {4: [], 6: []}  # what was before is not new
    proc.write(filtered=8, unrouted=7, large=7, blocked=7)
    assert "rp_filter" in drops.reasons(5.0)[4][0]
    proc.write(filtered=8, unrouted=8, large=9, blocked=7)
    first, second = drops.reasons(10.0)[4]
    assert "no route" in first
    assert "too large" in second
    proc.write(filtered=8, unrouted=8, large=9, blocked=8)
    found = drops.reasons(15.0)
    assert found[4] == found[6]
    assert "IPsec drops some (XfrmOutPolBlock " in found[4][0]
    assert drops.remarks(15.0) == ()
    proc.write(filtered=8, unrouted=8, large=9, blocked=8, martians=11)
    assert "for martians" in drops.reasons(20.0)[4][0]


def test_a_full_table_of_connections_is_told_for_a_minute_and_a_race_for_a_place_in_it_is_not(proc, tmp_path):
    drops = KernelDrops(tmp_path)
    proc.write()
    drops.reasons(0.0)
    proc.write(dropped=2)
    drops.reasons(5.0)
    assert drops.remarks(5.0) == ()
    proc.write(dropped=4, count=100)
    drops.reasons(10.0)
    proc.write(dropped=4, count=100)
    drops.reasons(60.0)
    assert "conntrack's table is full (100 connections)" in drops.remarks(60.0)[0]
    assert drops.remarks(70.0) == ()


def test_where_nothing_can_be_read_nothing_is_said(tmp_path):
    drops = KernelDrops(tmp_path)
    assert drops.reasons(0.0) == drops.reasons(5.0) == {4: [], 6: []}
    assert drops.remarks(5.0) == ()
