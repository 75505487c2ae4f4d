# SPDX-License-Identifier: Apache-2.0
"""The demo's host process: sentences into the cluster and their rows back, over a plain socket and with no privilege.

`python -m floreana.demo.sentence NET` reads the demo's net file, writes one JSON object a line: {"stage": text} as it goes on,
{"words": counters by node} now and then where `--interval` asks for it, at the end {"rows": .., ..} or {"error": text}. It carries bytes
and computes no activation.
"""

from __future__ import annotations

import argparse
import json
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from floreana.cluster import layout
from floreana.demo.job import Net
from floreana.demo.link import connect, manager_client
from floreana.errors import FloreanaError
from floreana.host import words
from floreana.host.admission import Admission, AdmissionConfig
from floreana.host.endpoint import Timers
from floreana.host.host import read_image
from floreana.host.manager import ManagerClient, Operation
from floreana.host.socket_host import SocketHost
from floreana.sim.job import Job
from floreana.sim.process import die_with_parent


def tell(**content: Any) -> None:
    """One line to the parent."""
    print(json.dumps(content), flush=True)


def is_powerless() -> bool:
    """No capability is held, and the system refuses a raw socket."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(("CapEff:", "CapPrm:")) and int(line.split()[1], 16):
            return False
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()
    except PermissionError:
        return True
    return False


def registers(t: Timers, eth_n: int) -> list[tuple[int, list[bytes]]]:
    """Configuration writes that give a node these timers, on each of its Ethernet ports: (address, entries)."""
    values = {
        layout.REG_ACK_DELAY: t.ack_delay,
        layout.REG_RTO: t.rto,
        layout.REG_RETRIES: t.retries,
        layout.REG_KEEP: t.keep,
        layout.REG_NACK_HOLD: t.nack_hold,
    }
    entries = [layout.pack(layout.REGISTER, {"value": values[k]}).to_bytes(words.BEAT_BYTES, "little") for k in sorted(values)]
    units = (layout.UNIT_ETH, layout.UNIT_ETH_1)[:eth_n]
    return [(layout.cfg_addr(unit, layout.MEM_REGISTER, min(values)), entries) for unit in units]


def prepare(job: Job, manager: ManagerClient, node: int) -> Iterator[Operation]:
    """What a node needs that was not told to tell events yet: its image, where no loader played it, and the scaled timers."""
    if job.load == "frames":
        tell(stage=f"writing the image of {job.nodes[node]}")
        for address, values in read_image(Path(job.images) / f"node{node}.hex"):
            yield manager.write(node, address, [value.to_bytes(words.BEAT_BYTES, "little") for value in values])
    for address, entries in registers(job.timers, job.eth_n):
        yield manager.write(node, address, entries)


def admission_of(job: Job, host: SocketHost, manager: ManagerClient) -> Admission:
    config = AdmissionConfig(
        host=job.host.node,
        cluster=job.cluster,
        entry=job.entry,
        owners=job.owners,
        hops=job.hops,
        row_bytes=job.row_bytes,
        max_tokens=len(job.owners),
        slots=job.slots,
        in_flight=job.in_flight,
        gateway=job.gateway,
        eth_n=job.eth_n,
        patience=job.patience,
        pause=max(job.timers.rto // 4, 1),
    )
    return Admission(config, host.send, manager, lambda node: prepare(job, manager, node))


class _Watch:
    """Reads the words of all nodes every ``interval`` seconds while sentences are at work."""

    def __init__(self, job: Job, manager: ManagerClient, interval: float) -> None:
        self._job, self._manager, self._interval = job, manager, interval
        self._reads: list[Operation] = []
        self._next = 0.0

    def look(self) -> None:
        if self._reads:
            if not all(read.done for read in self._reads):
                return
            tell(words=named(self._job, self._reads))
            self._reads = []
            self._next = time.monotonic() + self._interval
        elif time.monotonic() >= self._next:
            self._reads = read_all(self._job, self._manager)


def read_all(job: Job, manager: ManagerClient) -> list[Operation]:
    """Ask every node for all its words."""
    return [manager.read(node, 0, words.word_count(job.eth_n)) for node in range(len(job.nodes))]


def named(job: Job, reads: list[Operation]) -> dict[str, dict[str, int]]:
    """Words by node name; a node that did not answer is left out."""
    return {job.nodes[read.node]: words.name_words(read.result(), 0, job.eth_n) for read in reads if not read.error}


def run(net: Net, job: Job, seconds: float, interval: float) -> dict[str, Any]:
    """All sentences of the job. FloreanaError where the cluster does not do what it must, or not within ``seconds``."""
    with connect(net, job) as host:
        manager = manager_client(job, host)
        host.admission = admission = admission_of(job, host, manager)
        tell(stage="saying hello to the nodes, slowing their timers down, emptying their slots")
        begin = time.monotonic()
        for rows in job.rows:
            admission.submit([bytes.fromhex(row) for row in rows])
        watch = _Watch(job, manager, interval) if interval else None
        said = False

        def done() -> bool:
            nonlocal said
            if not said and not admission.recovering:
                said = True
                tell(stage=f"the sentence{'s are' if len(job.rows) > 1 else ' is'} on the way")
            if watch is not None and said:
                watch.look()
            return admission.idle

        if not host.run(done, seconds):
            raise FloreanaError(f"the cluster did not answer within {seconds:.0f} s; is the simulation running?", 3)
        tell(stage="reading the counters of all nodes")
        reads = read_all(job, manager)
        if not host.run(lambda: all(read.done for read in reads), seconds):
            raise FloreanaError(f"the managers did not answer within {seconds:.0f} s", 3)
        c = host.endpoint.counters
        return {
            "rows": [[row.hex() for row in result.rows] for result in sorted(admission.finished, key=lambda result: result.number)],
            "attempts": [result.attempts for result in sorted(admission.finished, key=lambda result: result.number)],
            "cycles": [result.end - result.start for result in sorted(admission.finished, key=lambda result: result.number)],
            "seconds": time.monotonic() - begin,
            "powerless": is_powerless(),
            "counters": {"frames": c.frames, "sent": sum(c.sent), "again": c.sent_again, "drops": c.drops_by_name()},
            "log": [[at, text] for at, text in admission.log],
            "words": named(job, reads),
        }


def main() -> int:
    die_with_parent()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("net", type=Path, help="the demo's net.json")
    parser.add_argument("--seconds", type=float, default=600.0, help="give up after so long")
    parser.add_argument("--interval", type=float, default=0.0, help="tell the counters that often, 0: at the end only")
    given = parser.parse_args()
    net = Net.load(given.net)
    try:
        tell(**run(net, net.load_job(), given.seconds, given.interval))
    except FloreanaError as error:
        tell(error=error.message)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
