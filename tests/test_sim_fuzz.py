# SPDX-License-Identifier: Apache-2.0
"""Hostile frames: the judge against other implementations, the forge, the pacing, and whole runs of tiny_2 under attack."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP
from scapy.layers.l2 import ARP, Ether

from floreana.cli import main
from floreana.cluster.description import find_project, load_project
from floreana.cluster.layout import TYPE_INT8, Header
from floreana.cluster.plan import make_plan
from floreana.environment import project_root
from floreana.errors import InputError
from floreana.host.frame import ACK, DATA, HELLO, HELLO_ACK, NACK, NO_MESSAGE, Cause, Station, build, inspect
from floreana.sim.capture import read_capture
from floreana.sim.ethernet import HALF_BYTES, OVERHEAD, Arrival, Fabric, Sent, beats
from floreana.sim.flow import Hooks, Options
from floreana.sim.fuzz import NO_RESTART, Report, check_port, fuzz, read_cycle, render, targets
from floreana.sim.hostile import ANSWERED, CONTROL, DROPS, FATES, KINDS, Attack, AttackError, Forge, Judge, ones_sum
from floreana.sim.job import Neighbour, Siege, Target

BUILDS = project_root() / "build" / "test_sim"  # the simulators of test_sim_tiny.py
NODE = Station(0, 0x02F10E000000, 0x0A110001)
PEERS = (Station(1, 0x02F10E000001, 0x0A110002), Station(2, 0x02F10E000002, 0x0A110003))
TARGET = Target(0, NODE.mac, NODE.ip, tuple(Neighbour(p.node, p.mac, p.ip, 32) for p in PEERS))
MESSAGE = Header(0, 1, 3, 0, 2, 0, 0, 0, 0, 0, False)


def _judge() -> Judge:
    return Judge(NODE.mac, NODE.ip, {p.node: (p.mac, p.ip) for p in PEERS})


def _frame(peer: Station, kind: int, epochs: tuple[int, int] = (1, 1), sequence: int = 0, acknowledged: int = 0, size: int = 0) -> bytes:
    payload = bytes(range(1, 1 + size % 255)) + bytes(size - size % 255)
    header = replace(MESSAGE, type=TYPE_INT8) if kind == DATA else NO_MESSAGE
    return build(*(peer, NODE, header, payload, sequence, acknowledged, 32), kind=kind, epoch=epochs[0], epoch_acknowledged=epochs[1])


def _regular() -> list[bytes]:
    """Two links come up; 40 messages a peer, some acks and a nack."""
    out = []
    for peer in PEERS:
        out += [_frame(peer, HELLO, (0, 0)), _frame(peer, HELLO_ACK, (1, 0)), _frame(peer, HELLO_ACK, (1, 1))]
        for n in range(40):
            out.append(_frame(peer, DATA, sequence=n, acknowledged=3 * n, size=64 + 16 * n))
            if n % 5 == 0:
                out.append(_frame(peer, NACK if n == 20 else ACK, acknowledged=3 * n + 1))
    return out


def _forge(seed: int) -> Forge:
    judge = _judge()
    forge = Forge(judge, seed)
    for raw in _regular():
        assert judge.take(raw) in CONTROL
        forge.saw(raw, True)
    forge.saw(build(PEERS[0], PEERS[1], MESSAGE, b"x" * 64, 0, 0), False)
    assert forge.ready
    return forge


# ----------------------------------------------------------------------------------------------------------------------- the judge


def test_the_judge_follows_a_link() -> None:
    judge, peer = _judge(), PEERS[0]
    assert judge.take(_frame(peer, DATA, size=64)) == "dropped.epoch"
    assert judge.take(_frame(peer, HELLO, (0, 0))) == "hellos"
    assert judge.take(_frame(peer, HELLO_ACK, (7, 4))) == "hello_acks"  # theirs 7, mine 5
    for fate, raw in (
        ("accepted", _frame(peer, DATA, (7, 5), 0, 9, 64)),
        ("dropped.duplicate", _frame(peer, DATA, (7, 5), 0, 0, 64)),
        ("dropped.gap", _frame(peer, DATA, (7, 5), 2, 0, 64)),
        ("dropped.empty", _frame(peer, DATA, (7, 5), 1)),
        ("accepted", _frame(peer, DATA, (7, 5), 1, 0, 1)),
        ("acks", _frame(peer, ACK, (7, 5))),
        ("nacks", _frame(peer, NACK, (7, 5))),
        ("dropped.epoch", _frame(peer, ACK, (7, 4))),
        ("hellos", _frame(peer, HELLO, (6, 0))),  # of an earlier life: nothing changes
        ("accepted", _frame(peer, DATA, (7, 5), 2, 0, 1)),
        ("hellos", _frame(peer, HELLO, (8, 5))),  # a newer one: numbers begin at 0
        ("accepted", _frame(peer, DATA, (8, 5), 0, 0, 1)),
        ("dropped.mac_error", b""),
    ):
        assert judge.take(raw, fate == "dropped.mac_error") == fate
    assert judge.links[1].expected == 1 and judge.links[2].expected == 0
    assert [str(DROPS[cause].removeprefix("dropped.")) for cause in (Cause.CHECKSUM, Cause.LENGTH, Cause.EPOCH, Cause.RESPONDER_BUSY)] == [
        *("checksum", "length", "epoch", "responder_busy")
    ]


def test_judge_and_frame_module_agree_on_causes_without_state() -> None:
    forge, checked = _forge(3), Counter[str]()
    for _ in range(6000):
        _kind, raw, bad = forge.make()
        fate = forge.judge.look(raw, bad)
        if bad or fate in (*ANSWERED, DROPS[18], DROPS[19]) or (raw[23:24] == b"\1" and raw[12:14] == b"\x08\0"):
            continue  # the host answers neither ARP nor ICMP
        found = inspect(raw, NODE)
        cause = DROPS.index(fate) if fate in DROPS and DROPS.index(fate) <= 10 else None
        assert (None if found is None else int(found[0])) == cause, (fate, found, raw.hex())
        checked[fate] += 1
    print(f"{sum(checked.values())} frames checked, {len(checked)} fates")
    assert sum(checked.values()) > 4500 and len(checked) >= 18


@pytest.mark.parametrize("size", [0, 1, 2, 17, 18, 19, 56, 996])
def test_replies_are_those_that_scapy_finds_right(size: int) -> None:
    forge = _forge(1)
    request = forge.ping(size)
    assert forge.judge.look(request) == "icmp_answered" and bytes(Ether(request)) == request
    reply = Ether(forge.judge.reply(request))
    assert reply.dst == Ether(request).src and (reply[IP].src, reply[ICMP].type) == ("10.17.0.1", 0)
    whole = bytes(reply[IP])[: reply[IP].len]
    assert ones_sum(whole[:20]) == ones_sum(whole[20:]) == 0xFFFF and whole[24:] == Ether(request)[IP].build()[24:]
    asked = forge.arp()
    assert forge.judge.look(asked) == "arp_answered"
    told = Ether(forge.judge.reply(asked))[ARP]
    assert (told.op, told.psrc, told.hwsrc, told.hwdst) == (2, "10.17.0.1", "02:f1:0e:00:00:00", Ether(asked).src)
    assert len(forge.judge.reply(asked)) == 60


def test_what_a_node_must_believe_is_not_sent() -> None:
    forge = _forge(1)
    judge, peer = forge.judge, PEERS[0]
    for raw in (
        _frame(peer, DATA, (1, 1), 40, 0, 64),  # the message expected
        _frame(peer, DATA, (1, 1), 100, 0, 64),  # may be by then
        _frame(peer, DATA, (1, 1), 39, 200, 64),  # acknowledges more than the peer did
        _frame(peer, ACK, (1, 1), 0, 118),  # grants anew
        _frame(peer, HELLO, (2, 1)),
        _frame(peer, HELLO_ACK, (1, 2)),
        _frame(peer, HELLO_ACK, (0, 2)),
    ):
        assert not judge.harmless(raw, False, False), raw.hex()
        assert judge.harmless(raw, True, False)  # marked bad: dropped whatever it says
    for raw, seen in (
        (_frame(peer, DATA, (1, 1), 39, 0, 64), False),
        (_frame(peer, DATA, (1, 1), 39, 117, 64), True),
        (_frame(peer, DATA, (1, 1), 1 << 20, 0, 64), False),
        (_frame(peer, ACK, (1, 1), 0, 1 << 20), False),
        (_frame(peer, HELLO, (255, 1)), False),
        (_frame(peer, HELLO, (0, 0)), False),
    ):
        assert judge.harmless(raw, False, seen), raw.hex()
    ping = forge.ping(4)
    assert judge.harmless(ping, False, False) and not judge.harmless(ping[:6] + PEERS[0].mac.to_bytes(6, "big") + ping[12:], False, False)


def test_the_seed_decides_and_every_kind_occurs() -> None:
    a, b, c = ([forge.make() for _ in range(4000)] for forge in (_forge(5), _forge(5), _forge(6)))
    assert a == b and a != c
    kinds = Counter(kind for kind, _, _ in a)
    assert set(kinds) == set(KINDS)
    sizes = [len(raw) for _, raw, _ in a]
    assert min(sizes) < 14 and max(sizes) > 1088 and all(sizes)
    judge = _forge(5).judge
    fates = Counter(judge.look(raw, bad) for _, raw, bad in a)
    assert "accepted" not in fates
    assert set(FATES) - set(fates) <= {"accepted", "dropped.empty", "dropped.no_cell", "dropped.responder_busy"}, fates


# ----------------------------------------------------------------------------------------------------------------------- the attack


def test_attackers_stay_within_their_share_and_the_line_is_never_exceeded() -> None:
    attack, fabric = Attack(Siege((TARGET,), 900, 0.7), 1), Fabric({NODE.mac: 0} | {p.mac: p.node for p in PEERS}, 220)
    regular = _regular()
    sent = [Sent(10 * n, n % 2 + 1, raw) for n, raw in enumerate(regular)]
    attack.saw([Arrival(0, 0, raw) for raw in regular])
    arrivals: list[Arrival] = []
    horizon = 0
    while not attack.done:
        attack.go_on(horizon, 200, fabric)
        batch = fabric.forward([s for s in sent if horizon <= s.cycle < horizon + 200], horizon + 200)
        attack.saw(batch)
        arrivals += batch
        assert all(arrival.start >= horizon + 220 - 16 for arrival in batch)  # in time for the port's player
        horizon += 200
    hostile = [a for a in arrivals if a.hostile]
    assert len(hostile) == 900 and len(arrivals) - 900 == len([s for s in sent if s.cycle < horizon])
    for before, after in pairwise(arrivals):
        assert after.start > before.cycle
    span = HALF_BYTES * (hostile[-1].cycle - hostile[0].cycle)
    assert 0.6 < sum(2 * (len(a.data) + OVERHEAD) for a in hostile[1:]) / span <= 0.7 + 0.01
    assert any(beats(len(a.data)) > 17 for a in hostile)
    told = attack.told()[0]
    assert told["frames"] == 900 == sum(count for _kind, _fate, count in told["table"])


def test_a_wrong_reply_is_an_error_and_a_missing_one_is_counted() -> None:
    attack = Attack(Siege((TARGET,), 1, 0.7), 1)
    front = attack.sieges[0]
    requests = [front.forge.ping(n) for n in range(3)]
    front.requests.extend(front.judge.reply(raw) for raw in requests)
    assert not attack.replied(0, _frame(PEERS[0], ACK)) and not attack.replied(1, requests[0])
    assert attack.replied(0, front.judge.reply(requests[1])) and len(front.requests) == 1 and front.replies == 1
    wrong = bytearray(front.judge.reply(requests[2]))
    wrong[45] ^= 1
    with pytest.raises(AttackError, match="answers no request"):
        attack.replied(0, bytes(wrong))


# ------------------------------------------------------------------------------------------------------------------------ whole runs


class Quiet:
    """A teller that says nothing."""

    def stage(self, text: str) -> None: ...
    def built(self, simulator: Any) -> None: ...
    def progress(self, line: dict[str, Any], sentences: int, rows: int) -> None: ...
    def sentence(self, number: int, report: Any, plan: Any) -> None: ...
    def summary(self, content: dict[str, Any], analysis: Any, outcome: Any, folder: Path) -> None: ...


def _run(out: Path, frames: int, **changes: Any) -> Report:
    options = replace(Options(project="tiny_2", tokens="4,2", out=out), **changes)
    return fuzz(options, frames, Quiet(), Hooks(builds=BUILDS))


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return _run(tmp_path_factory.mktemp("fuzz"), 4000)


def test_nothing_is_accepted_and_every_counter_adds_up(report: Report) -> None:
    assert report.wrong == [] and report.frames == 4000 == sum(report.table.values())
    assert {node for node, _, _ in report.table} == {"node0"}  # node1 restarted before
    fates = Counter[str]()
    for (_node, _kind, fate), count in report.table.items():
        fates[fate] += count
    assert "accepted" not in fates and fates["dropped.epoch"] > 100 and fates["dropped.duplicate"] > 200
    assert sum(fates[fate] for fate in ANSWERED) > 20
    old = {fate for (_node, kind, fate) in report.table if kind == "replayed"}
    assert {"dropped.epoch", "dropped.duplicate", "hellos", "hello_acks", "acks"} <= old
    assert report.sentences > 4 and len(report.checks) > 50
    written = json.loads((report.folder / "fuzz.json").read_text())
    assert written["frames"] == 4000 and len(written["checks"]) == len(report.checks)
    print(render(report))


def test_nodes_that_never_restarted_are_attacked_together(tmp_path: Path) -> None:
    both = _run(tmp_path, 1500, restart=NO_RESTART, seed=2)
    assert both.wrong == [] and {node for node, _, _ in both.table} == {"node0", "node1"}


def test_a_counter_that_is_off_by_one_is_told(report: Report, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    plan = make_plan(load_project(find_project("tiny_2")))
    outcome = json.loads((report.folder / "sim" / "outcome.json").read_text())
    told, words = outcome["sieges"][0], outcome["words"]["node0"]
    at = read_cycle(read_capture(report.folder / "traffic.pcapng")[1], 0)
    assert plan.nodes[0].name == "node0" and not [c for c in check_port("node0", told, words, at, 1) if c.got != c.want]
    for counter in (*(f"eth0.rx.{fate}" for fate in FATES), "eth0.rx.frames", "eth0.rx.beats", "eth0.tx.responder", "linear.dropped_row"):
        changed = {**words, counter: words[counter] + 1}
        assert [c for c in check_port("node0", told, changed, at, 1) if c.got != c.want], counter


def test_what_cannot_be_attacked_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="topology star"):
        targets(make_plan(load_project(find_project("minilm_6_line"))))
    with pytest.raises(InputError, match="none is left"):
        targets(make_plan(load_project(find_project("tiny_2"))), {0, 1})
    assert main(["fuzz", "--frames", "0"]) == 2
    assert "FRAMES=0" in capsys.readouterr().err
