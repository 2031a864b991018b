"""`steerd init` on gateways with what they have and nothing else: what it writes steers, and nobody edits it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from steerd.lab import namespaces
from steerd.lab.enclosure import RUN, run
from tests.lab.live import check, cure, shell
from tests.lab.waiting import until
from tests.lab.wireguard import ECHO, LOG, SEND, SERVICE, Network, wg

NOTICE = Path(__file__).parents[2] / "packaging/deb/steerd.toml"
pytestmark = [pytest.mark.lab, pytest.mark.wireguard]

QUICK = Path("/etc/wireguard")
FILE = Path("/etc/steerd/steerd.toml")
STEERD = f"{sys.executable} -m steerd.cli.steerd"
TUNNELS = {"fra1": ("10.64.0.1/32", "10.64.1.1/32, 0.0.0.0/0", 1), "ams1": ("10.64.2.2/24", "0.0.0.0/0", 2)}


def own_folders() -> None:
    """The lab has an /etc and a /var/lib of its own."""
    shell(f"cp -a /etc {RUN}/etc && mount --bind {RUN}/etc /etc && mount -t tmpfs tmpfs /var/lib")
    shell(f"rm -rf {QUICK} {FILE.parent} && mkdir -m 700 {QUICK}")


def quick_files(network: Network, more: str, tunnels: dict[str, tuple[str, str, int]] = TUNNELS) -> None:
    """wg-quick's files for the tunnels to two PoPs, with these lines ``more``, and nothing else: no tunnel is up. The
    gateway's own default route is by a third one, where packets of users come to if they are not steered."""
    for name in network.own:
        shell(f"ip link del {name}")
    until(lambda: not list(Path("/run/wireguard").glob("wg-*.sock")))
    own_folders()
    namespaces.ip("route add default via 192.0.2.14", "gw")
    namespaces.ip("route add 10.64.2.0/24 dev p-ams1", "ams1")
    for pop, (address, allowed, number) in tunnels.items():
        file = QUICK / f"wg-{pop}.conf"
        file.write_text(f"""\
[Interface]
PrivateKey = {network.own[f"wg-{pop}"].file.read_text().strip()}
ListenPort = {51820 + number}
Address = {address}
{more}
[Peer]
PublicKey = {network.keys[pop].public}
Endpoint = 192.0.2.{4 * number + 2}:51820
AllowedIPs = {allowed}
""")
        file.chmod(0o600)


def steerd(*arguments: str, **environment: str) -> tuple[int, str, str]:
    """The exit code, and what was printed."""
    done = subprocess.run(
        namespaces.command("gw", [*STEERD.split(), *arguments]),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "SSH_CONNECTION": "", "SSH_CLIENT": "", **environment},
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


def begin(command: str) -> None:
    with LOG.open("a") as log:
        namespaces.spawn("gw", ["sh", "-c", command], stdout=log, stderr=log)


def seen(pop: str) -> int:
    file = RUN / f"{pop}.seen"
    return len(file.read_text().splitlines()) if file.exists() else 0


def arrives(*pops: str) -> str:
    """A LAN host's datagrams come to one of the PoPs, from now on: to which."""
    before = {pop: seen(pop) for pop in pops}
    until(lambda: any(seen(pop) > before[pop] + 5 for pop in pops), what="datagrams at a PoP")
    return max(pops, key=lambda pop: seen(pop) - before[pop])


def first_hour() -> Any:
    network = Network(devices=True)
    quick_files(network, "Table = off\nFwMark = 0x51\n")
    shell("wg-quick up wg-fra1 && wg-quick up wg-ams1")
    network.traffic("lan", SERVICE, 0.05)
    begin(f"{STEERD} init && {STEERD} check --live && exec {STEERD} run")
    first = arrives(*TUNNELS)
    unsteered = seen("par1")
    namespaces.ip("link set out0 down", first)
    (other,) = TUNNELS.keys() - {first}
    after = arrives(other)
    leaked = seen("par1") - unsteered
    return {"after": after, "other": other, "leaked": leaked, "file": FILE.read_text(), "log": LOG.read_text()}


def test_two_files_of_wg_quick_and_three_commands_steer() -> None:
    found = run(f"{__name__}:first_hour")
    assert (found["after"], found["leaked"]) == (found["other"], 0)
    assert f"{FILE}: nothing on this machine stands in its way" in found["log"]
    # What the lab's gateway is: each tunnel by a wire of its own.
    assert [line.partition("  #")[0].rstrip() for line in found["file"].splitlines() if line[:1] not in ("", "#")] == [
        "[route]",
        'bypass_mark = "0x51"',
        "[[pop]]",
        'name = "ams1"',
        'paths = [{ dev = "wg-ams1", uplink = "u-ams1", target = "10.64.2.1" }]',
        "[[pop]]",
        'name = "fra1"',
        'paths = [{ dev = "wg-fra1", uplink = "u-fra1", target = "10.64.1.1" }]',
        "[[policy]]",
        'name = "default"',
        'prefixes = ["0.0.0.0/0"]',
        'iif = ["lan0"]',
    ]


def six() -> Any:
    """IPv6 alone, and one of the two tunnels has no session: its far end does not know the gateway."""
    network = Network(devices=True)
    own = {pop: network.own[f"wg-{pop}"].public for pop in TUNNELS}
    tunnels = {pop: (f"fd64:{number}::2/64", "::/0", number) for pop, (*_, number) in TUNNELS.items()}
    quick_files(network, "Table = off\n", tunnels)
    namespaces.sysctl("gw", ipv4__ip_forward=0, ipv6__conf__all__forwarding=1)
    namespaces.ip("addr add fd77::1/64 dev lan0 nodad", "gw")
    namespaces.ip("addr add fd77::2/64 dev lan1 nodad\nroute add default via fd77::1", "lan")
    for pop, (*_, number) in tunnels.items():
        wg(pop, "set", f"p-{pop}", "peer", own[pop], "allowed-ips", "fd64::/16,fd77::/64")
        namespaces.ip(
            f"""addr add fd64:{number}::1/64 dev p-{pop} nodad
                route add fd77::/64 dev p-{pop}
                addr add fd98::1/128 dev lo""",
            pop,
        )
        namespaces.spawn(pop, [sys.executable, "-c", by_six(ECHO), str(RUN / f"{pop}.seen")])
    network.break_key("ams1")
    shell("wg-quick up wg-fra1 && wg-quick up wg-ams1")
    namespaces.spawn("lan", [sys.executable, "-c", by_six(SEND), "fd98::1", "0.05"])
    begin(f"{STEERD} init && {STEERD} check --live && exec {STEERD} run")
    return {"arrives": arrives(*TUNNELS), "file": FILE.read_text(), "log": LOG.read_text()}


def by_six(program: str) -> str:
    return program.replace("AF_INET", "AF_INET6").replace("0.0.0.0", "fd98::1")


def test_ipv6_alone_is_steered_and_a_tunnel_that_is_silent_is_written_with_a_remark() -> None:
    found = run(f"{__name__}:six")
    assert found["arrives"] == "fra1"
    assert 'paths = [{ dev = "wg-fra1", uplink = "u-fra1", target6 = "fd64:1::1" }]' in found["file"]
    assert 'prefixes = ["::/0"]' in found["file"]
    assert "# No answer yet from fd64:2::1 when this was written." in found["file"]
    assert "No answer yet from fd64:1::1" not in found["file"]
    assert "[target-silent]" in found["log"]


def stopped() -> Any:
    """Everything in the way at once: no tunnel is up, wg-quick would make routes, nothing is forwarded."""
    network = Network(devices=True)
    quick_files(network, "")
    namespaces.sysctl("gw", ipv4__ip_forward=0, ipv4__conf__all__rp_filter=1)
    found: dict[str, Any] = {"said": steerd("init")}
    found["own"] = shell("ip route show default; ip rule")
    for _ in range(4):
        code, findings = check(FILE)
        found.setdefault("found", []).append([one["id"] for one in findings])
        if not findings:
            break
        for finding in (one for one in findings if one["by"] == "run"):
            cure(finding, FILE)
    found["code"], found["own after"] = code, shell("ip route show default; ip rule")
    begin(f"exec {STEERD} run")
    network.traffic("lan", SERVICE, 0.05)
    found["arrives"] = arrives(*TUNNELS)
    return found


def test_what_stands_in_the_way_is_named_with_cures_that_work_and_leave_the_gateways_own_routes() -> None:
    found = run(f"{__name__}:stopped")
    code, said, _ = found["said"]
    assert code == 69
    assert f"{FILE}: written, with 2 PoPs: ams1, fra1" in said
    assert said.count("a Table = off' /etc/wireguard/") == said.count("wg-quick up wg-") == 2
    assert found["found"] == [["device-missing"] * 2 + ["not-forwarded"] + ["rp-filter-strict"] * 2, []]
    assert found["code"] == 0
    assert found["own"] == found["own after"]


def claimed() -> Any:
    """Both tunnels are up as wg-quick makes them: each has taken the gateway's default route."""
    network = Network(devices=True)
    quick_files(network, "")
    shell("wg-quick up wg-fra1 && wg-quick up wg-ams1")
    found: dict[str, Any] = {"said": steerd("init"), "rules": shell("ip rule; ip -6 rule")}
    for finding in check(FILE)[1]:
        cure(finding, FILE)
    found["after"], found["rules after"] = check(FILE), shell("ip rule; ip -6 rule")
    found["own"] = shell("ip route get 203.0.113.9").split()[4]
    begin(f"exec {STEERD} run")
    network.traffic("lan", SERVICE, 0.05)
    found["arrives"], found["file"] = arrives(*TUNNELS), FILE.read_text()
    return found


def test_several_files_that_claim_the_default_route_are_named_and_taken_back() -> None:
    found = run(f"{__name__}:claimed")
    code, said, _ = found["said"]
    assert (code, said.count("[wg-quick-table]")) == (69, 2)
    assert found["rules"].count("not from all fwmark") == 2
    assert "not from all fwmark" not in found["rules after"]
    assert (found["after"], found["own"]) == ([0, []], "u-par1")
    # The mark that was there was wg-quick's own.
    assert "bypass_mark" not in found["file"]


def words() -> Any:
    """What it says of other files, other places, and other users."""
    network = Network(devices=True)
    quick_files(network, "Table = off\n")
    found: dict[str, Any] = {"printed": steerd("init", "-o", "-", SSH_CONNECTION="10.77.0.2 50000 10.77.0.1 22")}
    found["none"] = FILE.exists()
    elsewhere = RUN / "wg-par1.conf"
    elsewhere.write_text((QUICK / "wg-fra1.conf").read_text())
    (RUN / "new").mkdir()
    shutil.copy(NOTICE, RUN / "new" / "a.toml")  # only a notice
    found["from"] = steerd("init", "-o", str(RUN / "new" / "a.toml"), "--from", str(elsewhere), str(RUN / "gone.conf"))
    found["new"] = (RUN / "new" / "a.toml").read_text()
    found["again"] = steerd("init", "-o", str(RUN / "new" / "a.toml"))
    found["same"] = (RUN / "new" / "a.toml").read_text() == found["new"]
    (RUN / "link").symlink_to(RUN / "nowhere")
    found["link"] = [*steerd("init", "-c", str(RUN / "link")), (RUN / "nowhere").exists()]
    shell(f"rm {QUICK}/*.conf")
    found["nothing"] = steerd("init")
    drop = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]
    nobody = namespaces.command("gw", [*drop, *STEERD.split(), "init", "-o", "-"])
    done = subprocess.run(nobody, capture_output=True, text=True, check=False, timeout=60)
    found["nobody"] = [done.returncode, done.stdout, done.stderr]
    return found


def test_it_overwrites_nothing_takes_the_files_that_are_named_and_says_what_it_could_not_see() -> None:
    found = run(f"{__name__}:words")
    code, printed, said = found["printed"]
    assert (code, found["none"]) == (69, False)
    assert 'management = ["10.77.0.2"]' in printed
    assert "this configuration on this machine: 2 errors" in said
    assert "device-missing" not in printed
    code, said, _ = found["from"]
    assert (code, 'paths = [{ dev = "wg-par1"' in found["new"], "fra1" in found["new"]) == (69, True, False)
    assert "run: wg-quick up /run/steerd-lab/wg-par1.conf" in said
    assert "# Left out: /run/steerd-lab/gone.conf cannot be read: No such file or directory" in found["new"]
    code, _, said = found["again"]
    assert (code, found["same"]) == (1, True)
    assert "/run/steerd-lab/new/a.toml exists and is not overwritten" in said
    code, _, said, followed = found["link"]
    assert (code, followed) == (1, False)
    assert "exists and is not overwritten" in said
    code, _, said = found["nothing"]
    assert code == 1
    assert "nothing was found to steer to" in said
    assert "default routes: by u-par1" in said
    code, printed, said = found["nobody"]
    assert (code, printed) == (1, "")
    assert "CAP_NET_ADMIN is missing" in said
    assert "call it as root" in said


def uplinks() -> Any:
    """Two providers, each with a default route, and no tunnel."""
    namespaces.add("gw", "lan", "isp1", "isp2")
    own_folders()
    namespaces.sysctl("gw", ipv4__ip_forward=1)
    namespaces.ip("link add lan0 netns gw type veth peer name lan1 netns lan")
    namespaces.ip("addr add 10.77.0.1/24 dev lan0\nlink set lan0 up", "gw")
    namespaces.ip("addr add 10.77.0.2/24 dev lan1\nlink set lan1 up\nroute add default via 10.77.0.1", "lan")
    for number in (1, 2):
        isp, near, far = f"isp{number}", f"192.0.2.{16 * number + 1}", f"192.0.2.{16 * number + 2}"
        namespaces.ip(f"link add wan{number} netns gw type veth peer name in0 netns {isp}")
        namespaces.ip(f"addr add {near}/28 dev wan{number}\nlink set wan{number} up", "gw")
        namespaces.ip(f"route add default via {far} metric {100 * number}", "gw")
        namespaces.ip(
            f"""addr add {far}/28 dev in0
                link set in0 up
                addr add 9.9.9.9/32 dev lo
                addr add {SERVICE}/32 dev lo
                route add 10.77.0.0/24 via {near}""",
            isp,
        )
        namespaces.spawn(isp, [sys.executable, "-c", ECHO, str(RUN / f"{isp}.seen")])
    namespaces.spawn("lan", [sys.executable, "-c", SEND, SERVICE, "0.05"])
    begin(f"{STEERD} init && {STEERD} check --live && exec {STEERD} run")
    until(lambda: "first choice" in LOG.read_text())
    first = arrives("isp1", "isp2")
    namespaces.ip("link set in0 down", first)
    (other,) = {"isp1", "isp2"} - {first}
    return {"after": arrives(other), "other": other, "file": FILE.read_text(), "log": LOG.read_text()}


def test_without_a_tunnel_two_uplinks_are_steered_to() -> None:
    found = run(f"{__name__}:uplinks")
    assert found["after"] == found["other"]
    assert found["file"].count('via = "auto", target = "9.9.9.9" }]') == 2
    assert 'iif = ["lan0"]' in found["file"]
    assert f"{FILE}: nothing on this machine stands in its way" in found["log"]
