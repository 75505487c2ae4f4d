# SPDX-License-Identifier: Apache-2.0
"""The demo's host: `SocketHost` and `ManagerClient` from what a demo says of itself."""

from __future__ import annotations

from floreana.demo.job import Net
from floreana.host.endpoint import EndpointConfig, PeerConfig
from floreana.host.frame import Station
from floreana.host.manager import ManagerAddress, ManagerClient, ManagerConfig
from floreana.host.socket_host import SocketConfig, SocketHost
from floreana.sim.job import Job

OUTSTANDING = 6  # requests a manager has at a time


def connect(net: Net, job: Job) -> SocketHost:
    """The host on its socket. EnvironmentError_ where its address or port cannot be had."""
    host = job.host
    number = job.numbers.number
    peers = {n.node: PeerConfig(Station(number(n.node), n.mac, n.ip), n.quota) for n in job.neighbours}
    cells = sum(peer.quota for peer in peers.values())
    endpoint = EndpointConfig(Station(number(host.node), host.mac, host.ip), peers, job.timers, cells=cells)
    return SocketHost(SocketConfig(endpoint, net.cycles_per_second))


def manager_client(job: Job, host: SocketHost) -> ManagerClient:
    """Asks all nodes; a request without answer for eight RTOs fails."""
    addresses = {
        node: ManagerAddress(job.hops[kernel] if kernel else node, kernel, cluster)
        for node, (kernel, cluster) in enumerate(zip(job.managers, job.clusters, strict=True))
    }
    config = ManagerConfig(
        addresses,
        dict(enumerate(job.nodes)),
        timeout=8 * job.timers.rto,
        pause=max(job.timers.rto // 8, 1),
        outstanding=OUTSTANDING,
    )
    return ManagerClient(config, host.send)
