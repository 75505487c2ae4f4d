# SPDX-License-Identifier: Apache-2.0
"""Network namespaces, a bridge, TAP devices and a veth pair for the demo; made with `ip` and removed whatever happens.

    namespace floreana-<pid>                                  namespace floreana-<pid>-host
    TAP n0 ─┐
    TAP n1 ─┼─ bridge br0 ── wire ═══════════ veth ═══════════ host0   (MAC and address of the plan's host)
    TAP n2 ─┘

With a relay the pair's near end `wire` is no port of the bridge: the relay reads and writes it with a packet socket, and the bridge through
one more TAP, `relay`. A plan's segments (cables of a line or a ring) become a bridge each.

TAP devices live as long as the files returned for them: they vanish with the process, the namespaces are deleted by `close`. Those that
a killed process of this program left are deleted when the next one starts.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import ipaddress
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from floreana.errors import EnvironmentError_
from floreana.host.socket_host import dotted

NETNS_FOLDER = Path("/run/netns")
TUN = Path("/dev/net/tun")
HOST_DEVICE = "host0"
WIRE = "wire"
RELAY = "relay"

_CAPABILITIES = {"CAP_NET_ADMIN": 12, "CAP_NET_RAW": 13, "CAP_SYS_ADMIN": 21}
# tool -> Debian package
_PACKAGES = {
    "ip": "iproute2",
    "ping": "iputils-ping",
    "arping": "iputils-arping",
    "ethtool": "ethtool",
    "setpriv": "util-linux",
}
_CLONE_NEWNET = 0x40000000
_TUNSETIFF = 0x400454CA
_IFF_TAP, _IFF_NO_PI = 0x0002, 0x1000
_ETH_P_ALL = 0x0003
_NAME = re.compile(r"floreana-(\d+)(-host)?")
_LIBC = ctypes.CDLL(None, use_errno=True)
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # sbin is not on everybody's PATH


def mac_text(mac: int) -> str:
    """A MAC address as `ip` writes it."""
    return mac.to_bytes(6, "big").hex(":")


# ------------------------------------------------------------------------------------------------------------ what must be there


def tool_path(name: str) -> str | None:
    """Path of a system tool."""
    return shutil.which(name, path=os.pathsep.join(filter(None, (os.environ.get("PATH"), _PATH))))


def _effective_capabilities() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0


def _is_iputils_arping() -> bool:
    """Two packages bring an `arping`; their options differ."""
    try:
        found = subprocess.run([tool_path("arping") or "arping", "-V"], capture_output=True, text=True, check=False)
    except OSError:  # installed for those with CAP_NET_RAW only: nothing is known
        return True
    return "iputils" in found.stdout + found.stderr


def problems(capabilities: int | None = None) -> list[str]:
    """What this machine lacks for the demo, one sentence each with its remedy. ``capabilities``: those of this process unless given."""
    if not sys.platform.startswith("linux"):
        return [f"the demo needs Linux (TAP devices and network namespaces), this is {sys.platform}: use `make sim`, or a Linux machine"]
    out = []
    held = _effective_capabilities() if capabilities is None else capabilities
    missing = [name for name, bit in _CAPABILITIES.items() if not held >> bit & 1]
    if missing:
        out.append(
            f"the demo makes network devices and lacks {', '.join(missing)}: run it as root (sudo make net-demo), in a container with "
            "--cap-add NET_ADMIN --cap-add SYS_ADMIN --device /dev/net/tun"
        )
    if not TUN.exists():
        out.append(f"{TUN} is missing: load the module with `modprobe tun`, or start the container with --device {TUN}")
    for tool, package in _PACKAGES.items():
        if tool_path(tool) is None:
            out.append(f"{tool} is not found: install the package `{package}` (apt install {package})")
    if tool_path("arping") is not None and not _is_iputils_arping():
        out.append("arping is not that of iputils: install the package `iputils-arping` (apt install iputils-arping)")
    return out


def check() -> None:
    """EnvironmentError_ names all that is missing."""
    found = problems()
    if found:
        raise EnvironmentError_("\n".join(found))


# -------------------------------------------------------------------------------------------------------------------- namespaces


@contextlib.contextmanager
def inside(namespace: str) -> Iterator[None]:
    """The calling thread is in a named network namespace; needs CAP_SYS_ADMIN. What was opened there stays there."""
    with contextlib.ExitStack() as stack:
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        stack.callback(os.close, home)
        _set_namespace(NETNS_FOLDER / namespace)
        try:
            yield
        finally:
            if _LIBC.setns(home, _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "cannot return to the network namespace")


def _set_namespace(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _LIBC.setns(handle, _CLONE_NEWNET):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(path))
    finally:
        os.close(handle)


def enter(namespace: str) -> None:
    """Move this thread into a named network namespace for good. OSError if it is gone or the capability is missing."""
    _set_namespace(NETNS_FOLDER / namespace)


def is_inside(namespace: str) -> bool:
    """This thread is in the namespace already."""
    with contextlib.suppress(OSError):
        return (NETNS_FOLDER / namespace).stat().st_ino == Path("/proc/thread-self/ns/net").stat().st_ino
    return False


def run_ip(*words: str) -> str:
    """`ip` with these arguments; EnvironmentError_ says what it said."""
    done = subprocess.run([tool_path("ip") or "ip", *words], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise EnvironmentError_(f"`ip {' '.join(words)}` failed: {done.stderr.strip() or done.returncode}")
    return done.stdout


def in_namespace(namespace: str, command: Sequence[str | Path]) -> list[str]:
    """The command line that runs ``command`` in a namespace."""
    return [tool_path("ip") or "ip", "netns", "exec", namespace, *(str(part) for part in command)]


def powerless(command: Sequence[str | Path]) -> list[str]:
    """The command line that runs ``command`` without any capability: no raw socket, no device, as any user. Under sudo as its user."""
    user = os.environ.get("SUDO_UID"), os.environ.get("SUDO_GID")
    change = [f"--reuid={user[0]}", f"--regid={user[1]}", "--clear-groups"] if all(user) and user[0] != "0" else []
    drop = ["--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]
    return [tool_path("setpriv") or "setpriv", *change, *drop, *(str(part) for part in command)]


def leftovers() -> list[str]:
    """Namespaces of this program whose process is gone."""
    if not NETNS_FOLDER.is_dir():
        return []
    out = []
    for path in sorted(NETNS_FOLDER.iterdir()):
        found = _NAME.fullmatch(path.name)
        if found and not Path(f"/proc/{found[1]}").exists():
            out.append(path.name)
    return out


def open_tap(namespace: str, name: str) -> int:
    """A new TAP device in a namespace, up; the file that is its cable. Whole frames are read and written; reading never blocks."""
    with inside(namespace):
        handle = os.open(TUN, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            fcntl.ioctl(handle, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TAP | _IFF_NO_PI))
        except OSError as error:
            os.close(handle)
            raise EnvironmentError_(f"cannot make the TAP device {name}: {error.strerror}; is the module `tun` there?") from error
    return handle


def open_packets(namespace: str, device: str) -> socket.socket:
    """A packet socket on a device of a namespace: every frame, whole."""
    with inside(namespace):
        out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
        out.bind((device, 0))
    out.setblocking(False)
    return out


def prefix(addresses: Iterable[int]) -> int:
    """Length of the longest IPv4 prefix that has all addresses in it, and none as its network or broadcast address."""
    wanted = sorted(set(addresses))
    for length in range(30, 0, -1):
        net = ipaddress.ip_network((wanted[0], length), strict=False)
        low, high = int(net.network_address), int(net.broadcast_address)
        if low < wanted[0] and wanted[-1] < high:
            return length
    raise ValueError("the addresses of the plan do not fit one IPv4 network; give the cluster an ip_base whose nodes share one")


# ------------------------------------------------------------------------------------------------------------------------ the lab


@dataclass(frozen=True, slots=True)
class Wiring:
    """``taps``: names of the TAP devices; ``segments``: those of them (by place) on one bridge; ``host``: the segment of the host."""

    taps: tuple[str, ...]
    segments: tuple[tuple[int, ...], ...]
    host: int
    host_mac: int
    host_ip: int
    addresses: tuple[int, ...]  # of the ports on the host's segment
    relay: bool = False


@dataclass(slots=True)
class Lab:
    """The devices of one demo. A context manager: `__enter__` makes them, leaving removes them, after an error in the making too."""

    wiring: Wiring
    taps: list[int] = field(default_factory=list)  # files, by port
    relay_tap: int = -1
    relay_wire: socket.socket | None = None
    _stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    @property
    def switch_namespace(self) -> str:
        return f"floreana-{os.getpid()}"

    @property
    def host_namespace(self) -> str:
        return f"{self.switch_namespace}-host"

    def __enter__(self) -> Self:
        try:
            self._make()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Remove everything; a second Ctrl-C does not stop it."""
        with uninterrupted():
            self._stack.close()

    def _namespace(self, name: str) -> None:
        self._stack.callback(_delete, name)
        run_ip("netns", "add", name)

    def _make(self) -> None:
        for name in leftovers():
            _delete(name)
        wiring, switch, host = self.wiring, self.switch_namespace, self.host_namespace
        for name in (switch, host):
            self._namespace(name)
            run_ip("-n", name, "link", "set", "lo", "up")
        for k in range(len(wiring.segments)):
            options = ["stp_state", "0", "forward_delay", "0", "mcast_snooping", "0"]
            run_ip("-n", switch, "link", "add", f"br{k}", "type", "bridge", *options)
            self._up(switch, f"br{k}")
        for name in wiring.taps:
            self.taps.append(self._tap(name))
        for k, segment in enumerate(wiring.segments):
            for place in segment:
                run_ip("-n", switch, "link", "set", wiring.taps[place], "master", f"br{k}")
        self._host()
        for name in wiring.taps:
            self._up(switch, name)

    def _host(self) -> None:
        wiring, switch, host = self.wiring, self.switch_namespace, self.host_namespace
        mac = mac_text(wiring.host_mac)
        run_ip("-n", switch, "link", "add", WIRE, "type", "veth", "peer", "name", HOST_DEVICE, "address", mac, "netns", host)
        bridge = f"br{wiring.host}"
        if wiring.relay:
            self.relay_tap = self._tap(RELAY)
            run_ip("-n", switch, "link", "set", RELAY, "master", bridge)
            self._up(switch, RELAY)
        else:
            run_ip("-n", switch, "link", "set", WIRE, "master", bridge)
        self._up(switch, WIRE)
        # without this checksums are left for hardware that is not there, and the nodes look at them
        command = [tool_path("ethtool") or "ethtool", "-K", HOST_DEVICE, "tx", "off"]
        done = subprocess.run(in_namespace(host, command), capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        if done.returncode:
            raise EnvironmentError_(f"`ethtool -K {HOST_DEVICE} tx off` failed: {done.stderr.strip()}")
        length = prefix((wiring.host_ip, *wiring.addresses))
        run_ip("-n", host, "address", "add", f"{dotted(wiring.host_ip)}/{length}", "dev", HOST_DEVICE)
        self._up(host, HOST_DEVICE)
        # a simulated node answers after seconds: ask patiently
        patience = ["retrans", "4000", "mcast_probes", "16", "ucast_probes", "16"]
        run_ip("-n", host, "ntable", "change", "name", "arp_cache", "dev", HOST_DEVICE, *patience)
        if wiring.relay:
            self.relay_wire = open_packets(switch, WIRE)
            self._stack.callback(self.relay_wire.close)

    def _tap(self, name: str) -> int:
        handle = open_tap(self.switch_namespace, name)
        self._stack.callback(os.close, handle)
        return handle

    def _up(self, namespace: str, device: str) -> None:
        with contextlib.suppress(EnvironmentError_):  # only keeps IPv6 quiet
            run_ip("-n", namespace, "link", "set", device, "addrgenmode", "none")
        run_ip("-n", namespace, "link", "set", device, "up")


def _delete(name: str) -> None:
    if (NETNS_FOLDER / name).exists():
        subprocess.run([tool_path("ip") or "ip", "netns", "delete", name], capture_output=True, check=False, stdin=subprocess.DEVNULL)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Ctrl-C and SIGTERM are ignored meanwhile (in the main thread, the only one that gets them)."""
    before = []
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(ValueError):
            before.append((number, signal.signal(number, signal.SIG_IGN)))
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)
