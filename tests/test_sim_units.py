# SPDX-License-Identifier: Apache-2.0
"""Ethernet timing by hand, frames and captures against an independent reader, jobs, windows, the children of a run."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from dissected import TSHARK, read_fields
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.utils import PcapNgReader

from floreana.cluster.description import find_project, load_project
from floreana.cluster.layout import Header
from floreana.cluster.plan import Plan, make_plan
from floreana.errors import InputError
from floreana.host.frame import Station, build, checksum, fault, parse
from floreana.sim.capture import Record, read_capture, write_capture
from floreana.sim.ethernet import LOOKAHEAD, Arrival, Delivery, Fabric, Pacer, Sent, beats
from floreana.sim.faults import Cut, Rates, Restart
from floreana.sim.flow import Options, Trouble, make_job, read_trouble
from floreana.sim.job import Fault, Job
from floreana.sim.run import check_window, default_window

A, B, C = 0x02F10E000000, 0x02F10E000001, 0x02F10E000002
PORTS = {A: 0, B: 1, C: 2}


def _raw(target: int, size: int) -> bytes:
    return target.to_bytes(6, "big") + bytes(size - 6)


# ------------------------------------------------------------------------------------------------------------------------- timing


def test_a_lone_frame_takes_the_delay() -> None:
    assert [a.cycle for a in Fabric(PORTS, 220).forward([Sent(100, 0, _raw(B, 1088))])] == [320]


def test_frames_of_two_ports_queue_at_one_output() -> None:
    # 1088 + 24 bytes take 17.792 cycles: 320, 337.792, 355.584, each rounded up
    sent = [Sent(100, 2, _raw(B, 1088)), Sent(100, 0, _raw(B, 1088)), Sent(101, 0, _raw(B, 1088))]
    assert [(a.cycle, a.start) for a in Fabric(PORTS, 220).forward(sent)] == [(320, 304), (338, 322), (356, 340)]
    # the lower port first where the cycle is the same
    order = [a.data for a in Fabric(PORTS, 220).forward([Sent(7, 2, _raw(B, 64) + b"2"), Sent(7, 0, _raw(B, 64) + b"0")])]
    assert [data[-1:] for data in order] == [b"0", b"2"]


def test_beats_that_are_not_full_take_whole_cycles() -> None:
    # 76 + 24 bytes are 1.6 cycles of the line, and two beats
    sent = [Sent(100, port, _raw(B, 76)) for port in (0, 2)]
    assert [(a.start, a.cycle) for a in Fabric(PORTS, 220).forward(sent)] == [(319, 320), (321, 322)]


def test_other_outputs_do_not_wait() -> None:
    sent = [Sent(100, 2, _raw(B, 1088)), Sent(100, 0, _raw(C, 1088))]
    assert sorted((a.cycle, a.port) for a in Fabric(PORTS, 220).forward(sent)) == [(320, 1), (320, 2)]


def test_the_rate_is_exact_in_fractions() -> None:
    """A thousand header-only frames at once: the last one's finish is 999 times 88 / 62.5 cycles after the first's."""
    arrivals = Fabric(PORTS, 220).forward([Sent(5, 0, _raw(B, 64)) for _ in range(1000)])
    exact = [225 + i * Fraction(88 * 2, 125) for i in range(1000)]
    assert [a.cycle for a in arrivals] == [-(-f.numerator // f.denominator) for f in exact]


def test_an_idle_output_forgets_its_queue() -> None:
    switch = Fabric(PORTS, 220)
    assert [a.cycle for a in switch.forward([Sent(0, 0, _raw(B, 1088)), Sent(0, 2, _raw(B, 1088))])] == [220, 238]
    assert [a.cycle for a in switch.forward([Sent(1000, 0, _raw(B, 64))])] == [1220]


def test_an_unknown_address_is_named() -> None:
    with pytest.raises(KeyError, match="02f10e0000ff"):
        Fabric(PORTS, 220).forward([Sent(0, 0, _raw(A + 255, 64))])


def test_beats_never_overlap_at_a_receiver_and_batches_do_not_matter() -> None:
    rng = random.Random(4)
    # a port finishes at most one frame a cycle
    keys = sorted(rng.sample([(cycle, port) for cycle in range(4000) for port in range(3)], 2000))
    sent = [
        Sent(cycle, port, _raw(rng.choice((A, B, C)), rng.choice((64 * rng.randint(1, 17), 76, rng.randint(64, 1088)))))
        for cycle, port in keys
    ]
    whole = Fabric(PORTS, 220).forward(sent)
    pieces, switch, at = [], Fabric(PORTS, 220), 0
    while at < len(sent):
        horizon = sent[at].cycle + rng.randint(1, 200)
        batch = [s for s in sent[at:] if s.cycle < horizon]
        at += len(batch)
        rng.shuffle(batch)
        pieces += switch.forward(batch, horizon)
    assert [(a.cycle, a.port, a.data) for a in pieces] == [(a.cycle, a.port, a.data) for a in whole]
    for port in range(3):
        arrivals = [a for a in whole if a.port == port]
        for before, after in itertools.pairwise(arrivals):
            assert after.start > before.cycle


def test_a_port_sends_a_frame_of_17_beats_every_17_792_cycles() -> None:
    pacer = Pacer()
    ends = [pacer.send(0, 1088) for _ in range(1000)]
    assert ends[0] == (0, 16) and ends[1][0] in (17, 18)
    # 999 frames of 2224 half bytes before it, at 125 a cycle; a beat may start up to a cycle ahead of the line
    assert 0 <= 999 * Fraction(2224, 125) - ends[999][0] < 1
    assert all(last - first in (16, 17) for first, last in ends)
    assert pacer.send(50_000, 64) == (50_000, 50_000)


def test_delivery_hands_over_by_first_beat() -> None:
    delivery = Delivery()
    late, early = Arrival(300, 1, _raw(B, 64)), Arrival(301, 1, _raw(B, 1088))
    delivery.add([late, early])
    assert delivery.due(1, 285) == [] and delivery.due(1, 286) == [early]
    assert len(delivery) == 1 and delivery.due(0, 1000) == [] and delivery.due(1, 301) == [late]


def test_windows_that_cannot_work_are_refused_with_their_limit() -> None:
    assert LOOKAHEAD == 18 and default_window(220) == 200 and default_window(19) == 1
    for delay, window in ((220, 200), (220, 202), (19, 1), (100_000, 256)):
        assert check_window(delay, window) is None
    for delay, window, word in ((220, 203, "202"), (220, 0, "1 to 202"), (18, 1, "19"), (5000, 257, "256"), (100_001, 1, "100000")):
        why = check_window(delay, window)
        assert why is not None and word in why, why


# ------------------------------------------------------------------------------------------------------------------ frames, capture


def _frame(payload: int = 128, row: int = 3) -> bytes:
    header = Header(0, 129, 3, 0, 255, 1, 2, row, 16, 0, True)
    return build(Station(6, C, 0x0A110007), Station(0, A, 0x0A110001), header, bytes(i % 256 for i in range(payload)), 70_000, 5)


def test_a_frame_is_64_header_bytes_and_comes_back() -> None:
    raw = _frame()
    frame = parse(raw)
    assert len(raw) == 192 and beats(len(raw)) == 3
    assert (frame.dst_mac, frame.src_mac, frame.source, frame.sequence, frame.acknowledged) == (A, C, 6, 70_000, 5)
    assert frame.header == Header(0, 129, 3, 0, 255, 1, 2, 3, 16, 0, True) and frame.payload[:3] == b"\0\1\2"


def test_an_independent_reader_finds_the_frame_right() -> None:
    packet = Ether(_frame())
    assert packet[IP].len == 178 and packet[IP].flags == "DF" and packet[IP].ttl == 64 and packet[IP].proto == 17
    assert packet[UDP].sport == packet[UDP].dport == 17996 and packet[UDP].len == 158
    given = packet[IP].chksum
    del packet[IP].chksum
    assert Ether(bytes(packet))[IP].chksum == given
    assert checksum(_frame()[14:34]) == 0


@pytest.mark.parametrize(
    ("at", "value", "word"),
    [
        (12, 0x86, "EtherType"),
        (23, 6, "protocol"),
        (25, 0, "checksum"),
        (39, 0, "UDP length"),
        (35, 0, "ports"),
        (42, 0x40, "version 2"),
        (42, 0x21, "type 1"),
    ],
)
def test_what_is_not_a_frame_of_ours_is_named(at: int, value: int, word: str) -> None:
    raw = bytearray(_frame())
    raw[at] = value
    assert word in str(fault(bytes(raw)))
    with pytest.raises(ValueError, match=word):
        parse(bytes(raw))
    assert "63 bytes" in str(fault(_frame()[:63]))


def _records() -> list[Record]:
    return [
        Record(9, 2, True, _frame()),
        Record(229, 0, False, _frame()),
        Record(1 << 33, 1, True, _frame(64, 7)),
        Record(229, 0, True, _frame(0)),
    ]


def test_a_capture_comes_back_sorted(tmp_path: Path) -> None:
    path = tmp_path / "traffic.pcapng"
    write_capture(path, ["node0", "left", "host"], "a comment", _records())
    names, records = read_capture(path)
    assert names == ["node0", "left", "host"]
    assert records == sorted(_records(), key=lambda r: (r.cycle, r.port, r.outbound))
    again = tmp_path / "again.pcapng"
    write_capture(again, names, "a comment", list(reversed(_records())))
    assert again.read_bytes() == path.read_bytes()


def test_scapy_reads_the_capture(tmp_path: Path) -> None:
    path = tmp_path / "traffic.pcapng"
    write_capture(path, ["node0", "left", "host"], "", _records())
    with PcapNgReader(str(path)) as reader:
        packets = list(reader)
    assert [bytes(p) for p in packets] == [r.data for r in sorted(_records(), key=lambda r: (r.cycle, r.port, r.outbound))]
    assert [round(float(p.time) * 1e9) for p in packets[:3]] == [45, 1145, 1145]
    assert [p.sniffed_on for p in packets] == ["host", "node0", "node0", "left"]


# scapy reads the capture everywhere, tshark where there is one
if TSHARK is not None:

    def test_tshark_reads_the_capture_without_complaint(tmp_path: Path) -> None:
        path = tmp_path / "traffic.pcapng"
        write_capture(path, ["node0", "left", "host"], "", _records())
        fields = ["frame.interface_name", "udp.length", "ip.checksum.status"]
        rows = read_fields(path, [*fields, "_ws.expert.message"], "-o", "ip.check_checksum:TRUE")
        values = [[value for name in fields for value in row[name]] for row in rows]
        assert values == [["host", "158", "1"], ["node0", "158", "1"], ["node0", "30", "1"], ["left", "94", "1"]]
        # the dissector's only complaint, of the frame that is empty here
        assert [row["_ws.expert.message"] for row in rows] == [[], [], ["Data without payload that is not control"], []]


@pytest.mark.parametrize("cut", [1, 30, 200, 500])
def test_a_damaged_capture_is_refused(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "traffic.pcapng"
    write_capture(path, ["node0", "left", "host"], "", _records())
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(InputError, match=r"damaged at byte \d+"):
        read_capture(path)


def test_a_missing_or_empty_capture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="run `floreana sim` first"):
        read_capture(tmp_path / "none.pcapng")
    (tmp_path / "empty.pcapng").write_bytes(b"")
    with pytest.raises(InputError, match="is empty"):
        read_capture(tmp_path / "empty.pcapng")


def test_records_compare_by_value() -> None:
    record = _records()[0]
    assert replace(record) == record


# -------------------------------------------------------------------------------------------------------------------------- wiring


def _job(topology: str, nodes: int) -> tuple[Plan, Job]:
    project = load_project(find_project("minilm_6"), nodes=nodes)
    plan = make_plan(project.model_copy(update={"cluster": project.cluster.model_copy(update={"topology": topology})}))
    return plan, make_job(plan, [np.zeros((3, plan.hidden), np.int64)], Options(in_flight=2), Path("/nowhere"), Trouble(), (), 1000)


def test_the_job_of_a_star_has_one_switch() -> None:
    plan, job = _job("star", 3)
    assert job.segments == ((0, 1, 2, 3),) and job.eth_n == 1 and [p.name for p in job.ports] == ["node0", "node1", "node2", "host"]
    assert job.managers == (0, 0, 0) and [n.node for n in job.neighbours] == [0, 1, 2]
    assert {k: hop for k, hop in job.hops.items() if 129 <= k < 132} == {129: 0, 130: 1, 131: 2}
    assert job.timers.rto == plan.transport.rto and job.stall < plan.transport.retries * plan.transport.rto


@pytest.mark.parametrize(("topology", "first"), [("line", (0, 6)), ("ring", (0, 5, 6))])
def test_the_job_of_a_chain_has_cables(topology: str, first: tuple[int, ...]) -> None:
    plan, job = _job(topology, 3)
    assert [p.name for p in job.ports] == ["node0.0", "node0.1", "node1.0", "node1.1", "node2.0", "node2.1", "host"]
    assert job.eth_n == 2 and job.host.node == 3 and [p.node for p in job.ports] == [0, 0, 1, 1, 2, 2, 3]
    assert sorted(tuple(sorted(segment)) for segment in job.segments) == sorted([first, (1, 2), (3, 4)])
    assert len({p.mac for p in job.ports}) == 7
    # bare nodes are reached along the line, by the number of their manager
    assert job.managers == (0, 194, 195) and job.hops[194] == job.hops[195] == 0
    # a frame for the next node goes out of port 1 and comes in at port 0
    fabric = Fabric({p.mac: k for k, p in enumerate(job.ports)}, job.delay, segments=job.segments)
    frame = job.ports[2].mac.to_bytes(6, "big") + bytes(58)
    assert [(a.port, a.cycle) for a in fabric.forward([Sent(10, 1, frame)])] == [(2, 10 + job.delay)]
    # cables and ports have names of their own
    trouble = read_trouble(Options(cut="node1.0:5-9,node2:7-8,host:1-2"), plan)
    assert trouble.cuts == (Cut(2, 5, 9), Cut(4, 7, 8), Cut(5, 7, 8), Cut(6, 1, 2))


def test_a_job_comes_back_from_its_file(tmp_path: Path) -> None:
    _, job = _job("ring", 3)
    job = replace(job, rates=Rates(0.1, 0, 0.2, 0), cuts=(Cut(1, 2, 3),), restarts=(Restart(0, 5, 50),), faults=(Fault("drop", 3),))
    job.save(tmp_path / "job.json")
    assert Job.load_file(tmp_path / "job.json") == job
