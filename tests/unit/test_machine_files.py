"""What files say of a machine: other programs' settings, and who listens."""

import os
import socket
import struct

import pytest

from steerd.machine import files, lists, quick
from steerd.machine.record import IpsecPolicy, QuickFile
from steerd.route.claim import claimed


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[Interface]\nAddress = 10.0.0.1\n[Peer]\nAllowedIPs = 0.0.0.0/0\n", ""),
        ("[Interface]\nTable = off\n", "off"),
        ("[interface]\n table=OFF # as steerd wants it\n", "off"),
        ("[Interface]\n# Table = off\n", ""),
        ("[Interface]\nTable = auto\n", "auto"),
        ("[Peer]\nTable = off\n", ""),
        ("\x00\xff[[[=\n", ""),
    ],
)
def test_what_table_of_a_wg_quick_file_says(text, said):
    assert quick.parse("f", text).table == said


def test_wg_quicks_files_are_known_by_their_devices(tmp_path):
    folder = tmp_path / "etc" / "wireguard"
    assert quick.installed(tmp_path) == {}
    folder.mkdir(parents=True)
    (folder / "wg-fra1.conf").write_text("[Interface]\nTable = off\n")
    (folder / "wg-fra1.key").write_text("secret")
    assert quick.installed(tmp_path) == {"wg-fra1": QuickFile(f"{folder}/wg-fra1.conf", "off")}


def test_what_networkmanager_manages_is_in_its_state_files(tmp_path):
    folder = tmp_path / "run" / "NetworkManager" / "devices"
    folder.mkdir(parents=True)
    (folder / "2").write_text("[device]\nmanaged=true\nnm-owned=0\n")
    (folder / "3").write_text("[device]\nmanaged=false\n")
    assert files.managed(tmp_path, {2: "wan", 3: "wg-fra1", 4: "lan"}) == {"wan"}


def test_listeners_are_known_by_address_and_port_in_both_families():
    with (
        socket.create_server(("127.0.0.1", 0)) as four,
        socket.create_server(("::1", 0), family=socket.AF_INET6) as six,
    ):
        inodes = {os.fstat(one.fileno()).st_ino: one.getsockname()[:2] for one in (four, six)}
        found = {one.inode: (one.address, one.port) for one in files.listeners() if one.inode in inodes}
        assert found == inodes
        holders = files.holders(inodes)
        assert {one.pid for one in holders.values()} == {os.getpid()}
        assert holders.keys() == inodes.keys()


def test_a_claim_is_seen_with_the_process_that_has_it_and_nobody_is_asked():
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
        one.bind(f"\0steerd/table/{os.getpid()}-{os.getpid()}")
        one.listen(0)
        mine = [(claim, inode) for claim, inode in claimed() if claim.first == os.getpid()]
        assert [(claim.key, claim.last) for claim, _ in mine] == [("table", os.getpid())]
        assert files.holders([mine[0][1]])[mine[0][1]].pid == os.getpid()
        one.setblocking(False)
        with pytest.raises(BlockingIOError):
            one.accept()


def test_the_daemon_is_who_listens_at_the_control_socket(tmp_path):
    path = tmp_path / "s"
    assert files.daemon(path) == 0
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))
        one.listen()
        assert files.daemon(path) == os.getpid()
    assert files.daemon(path) == 0


def test_what_is_where_the_control_socket_would_be(tmp_path):
    assert files.in_the_way(tmp_path / "new" / "folder" / "s") == ""
    file = tmp_path / "file"
    file.touch()
    assert files.in_the_way(file) == f"{file} exists, and is no socket"
    assert files.in_the_way(file / "below" / "s") == f"{file} is no folder"
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(tmp_path / "s"))
        assert files.in_the_way(tmp_path / "s") == ""


def policy(*, direction=1, family=socket.AF_INET, device=0, index=9, rest=b""):
    destination, source = socket.inet_aton("198.18.0.0"), socket.inet_aton("10.0.0.0")
    selector = struct.pack(
        "=16s16sHHHHHBBBxxxiI", destination, source, 0, 0, 0, 0, family, 15, 8, 0, device, 0
    )  # as struct xfrm_selector
    return (selector + bytes(96) + struct.pack("=IIBBBB", 0, index, direction, 0, 0, 0)).ljust(168, b"\0") + rest


TEMPLATE = struct.pack("=HH", 12, 5) + bytes(8)
MARK = struct.pack("=HH", 12, 21) + bytes(8)


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (policy(rest=TEMPLATE), [IpsecPolicy(4, "10.0.0.0/8", "198.18.0.0/15")]),
        (policy(rest=TEMPLATE + MARK), [IpsecPolicy(4, "10.0.0.0/8", "198.18.0.0/15", bound=True)]),
        (policy(rest=TEMPLATE, device=3), [IpsecPolicy(4, "10.0.0.0/8", "198.18.0.0/15", bound=True)]),
        (policy(), []),  # it lets pass, and encrypts nothing
        (policy(rest=TEMPLATE, direction=0), []),
        (policy(rest=TEMPLATE, index=12), []),  # one socket's own
    ],
)
def test_ipsec_policies_are_those_that_encrypt_what_leaves(body, found):
    assert list(lists.policies([body])) == found


FILE = "[Interface]\nAddress = 10.0.0.2/24, fd00::2/64\nAddress=10.0.1.2\nDNS = 10.0.0.1 corp.example\nFwMark = 0x51\n"
PEER = "[Peer]\nAllowedIPs = 10.0.0.5/8,::/0\nAllowedIPs = nonsense, 0.0.0.0/0\n"


@pytest.mark.parametrize("text", [FILE + PEER, (FILE + PEER).replace("\n", "\r\n"), (FILE + PEER).upper()])
def test_a_file_of_wg_quick_is_read_whatever_ends_its_lines(text):
    found = quick.parse("f", text)
    assert [str(one) for one in found.addresses] == ["10.0.0.2/24", "fd00::2/64", "10.0.1.2/32"]
    assert (found.dns, found.mark, found.wrong) == (("10.0.0.1",), 0x51, "")
    assert found.allowed == (frozenset({bytes((10, 0, 0, 0, 8)), bytes(17), bytes(5)}),)


def test_what_is_wrong_with_a_file_is_said_of_that_one_alone(tmp_path):
    files = {
        "good.conf": b"[Interface]\nTable = off\n",
        "torn.conf": b"\x00\xff[[[=\n",
        "bom.conf": b"\xef\xbb\xbf[Interface]\nTable = off\n",
        "utf16.conf": "[Interface]\nTable = off\n".encode("utf-16"),
        "a name too long for it.conf": b"[Interface]\nTable = off\n",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "folder.conf").mkdir()
    os.mkfifo(tmp_path / "pipe.conf")
    found = quick.named([*sorted(tmp_path.iterdir()), tmp_path / "gone.conf"])
    assert {name: one.wrong.partition(",")[0] for name, one in found.items()} == {
        "good": "",
        "torn": "is no file of wg-quick: nothing stands under [Interface]",
        "bom": "begins with a byte order mark",
        "utf16": "is no file of wg-quick: nothing stands under [Interface]",
        "a name too long for it": "is not called as a device can be",
        "folder": "is no file",
        "pipe": "is no file",
        "gone": "cannot be read: No such file or directory",
    }


def process(root, number, parent, environment):
    folder = root / str(number)
    folder.mkdir()
    (folder / "status").write_text(f"Name:\tx\nPPid:\t{parent}\n")
    (folder / "environ").write_bytes(environment)
    return folder


@pytest.mark.parametrize(
    ("own", "of_parents", "found"),
    [
        ({"SSH_CONNECTION": "192.0.2.7 50000 192.0.2.1 22"}, b"", "192.0.2.7"),
        ({"SSH_CLIENT": "2001:db8::7 50000 22"}, b"", "2001:db8::7"),
        ({}, b"A=b\0SSH_CONNECTION=192.0.2.8 1 192.0.2.1 22\0", "192.0.2.8"),
        ({"SSH_CONNECTION": "nonsense"}, b"SSH_CONNECTION=192.0.2.8 1\0", "192.0.2.8"),
        ({"SSH_CONNECTION": "fe80::1%eth0 1 fe80::2%eth0 22"}, b"", ""),
        ({}, b"\xff\0\0=", ""),
    ],
)
def test_the_session_is_known_by_the_environment_or_by_that_of_who_began_this_process(own, of_parents, found, tmp_path):
    process(tmp_path, 1, 0, b"")
    process(tmp_path, 20, 1, of_parents)
    assert files.session(own, process(tmp_path, 30, 20, b"")) == found


def test_a_circle_of_parents_has_an_end(tmp_path):
    process(tmp_path, 20, 30, b"")
    assert files.session({}, process(tmp_path, 30, 20, b"")) == ""
