# SPDX-License-Identifier: Apache-2.0
"""What goes wrong in the simulated network on purpose: the right share, the same frames every time, whatever the window."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from floreana.sim.ethernet import Arrival, Fabric, Sent
from floreana.sim.faults import (
    DELAY_CYCLES,
    DUPLICATE_CYCLES,
    FOREVER,
    KINDS,
    REORDER_CYCLES,
    Cut,
    Draws,
    Rates,
    Restart,
    check_rate,
    check_restarts,
    damaged,
    fate,
    parse_cuts,
    parse_restarts,
)

MACS = {0x02F10E000000 + k: k for k in range(4)}
ALL = Rates(0.1, 0.1, 0.1, 0.1, 0.1)


def _raw(target: int, size: int, mark: int = 0) -> bytes:
    return (0x02F10E000000 + target).to_bytes(6, "big") + mark.to_bytes(4, "big") + bytes(size - 10)


def _traffic(count: int = 3000) -> list[Sent]:
    rng = random.Random(8)
    keys = sorted(rng.sample([(cycle, port) for cycle in range(3 * count) for port in range(4)], count))
    return [
        Sent(cycle, port, _raw(rng.choice([p for p in range(4) if p != port]), 64 * rng.randint(1, 17), i))
        for i, (cycle, port) in enumerate(keys)
    ]


def _plain(arrivals: list[Arrival]) -> list[tuple[int, int, bytes, bool]]:
    return [(a.cycle, a.port, a.data, a.bad) for a in arrivals]


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5])
def test_every_kind_hits_its_share(rate: float) -> None:
    frames = 20_000
    for kind, name in KINDS.items():
        seen: Counter[str] = Counter()
        for number in range(frames):
            seen.update(fate(Rates(**{kind: rate}), 1, 2, number, bytes(128)).kinds)
        assert abs(seen[name] - rate * frames) <= 5 * (frames * rate * (1 - rate)) ** 0.5
        assert set(seen) <= {name}


def test_numbers_depend_on_the_key_alone() -> None:
    assert [Draws(1, 2, 3).next() for _ in range(2)] == [Draws(1, 2, 3).next()] * 2
    assert len({Draws(a, b, c).next() for a in range(9) for b in range(9) for c in range(99)}) == 9 * 9 * 99
    draws = Draws(5)
    values = [draws.below(10) for _ in range(10_000)]
    assert set(values) == set(range(10)) and all(900 < values.count(v) < 1100 for v in range(10))


def test_a_damaged_frame_is_never_the_same() -> None:
    data, cut = bytes(range(200)), 0
    for number in range(2000):
        broken = damaged(data, Draws(number))
        assert broken != data and 1 <= len(broken) <= len(data)
        cut += len(broken) < len(data)
    assert 400 < cut < 600
    assert len(damaged(b"x", Draws(1))) == 1


def test_faults_do_not_depend_on_the_window() -> None:
    sent = _traffic()
    whole = Fabric(MACS, 220, rates=ALL, seed=3)
    expected = _plain(whole.forward(sent))
    for seed in (1, 2):
        rng, pieces, at, horizon = random.Random(seed), [], 0, 0
        fabric = Fabric(MACS, 220, rates=ALL, seed=3)
        while horizon < 3 * len(sent) + 1000:
            window = rng.randint(1, 200)
            horizon += window
            batch = [s for s in sent[at:] if s.cycle < horizon]
            at += len(batch)
            rng.shuffle(batch)
            new = fabric.forward(batch, horizon)
            # nothing comes too late to be played
            assert all(a.start >= horizon for a in new)
            pieces += new
        assert sorted(_plain(pieces)) == sorted(expected) and fabric.done() == whole.done()
    assert min(whole.done().values()) > 200 and set(whole.done()) == set(KINDS.values())
    assert _plain(Fabric(MACS, 220, rates=ALL, seed=4).forward(sent)) != expected
    # conservation: what was sent and doubled arrives or is lost
    assert len(expected) == len(sent) + whole.done()["duplicated"] - whole.done()["lost"]
    originals = {s.data for s in sent}
    assert all(bad == (data not in originals) for _, _, data, bad in expected)


def test_one_port_does_not_change_the_fate_of_another() -> None:
    sent = _traffic()
    alone = Fabric(MACS, 220, rates=Rates(loss=0.3), seed=3).forward([s for s in sent if s.port == 2])
    together = Fabric(MACS, 220, rates=Rates(loss=0.3), seed=3).forward(sent)
    mine = {s.data for s in sent if s.port == 2}
    assert [a.data for a in alone if a.data in mine] and {a.data for a in alone} == {a.data for a in together} & mine


def test_delays_stay_in_their_bounds_and_frames_overtake() -> None:
    sent = [Sent(20 * i, 0, _raw(1, 64, i)) for i in range(2000)]
    by_data = {s.data: s.cycle for s in sent}
    arrivals = Fabric(MACS, 220, rates=Rates(reorder=0.2), seed=1).forward(sent)
    late = [a.cycle - by_data[a.data] - 220 for a in arrivals]
    assert max(late) <= REORDER_CYCLES + 100 and sum(x > 1 for x in late) > 300
    order = [by_data[a.data] for a in arrivals]
    assert order != sorted(order)
    twice = Fabric(MACS, 220, rates=Rates(dup=0.2), seed=1).forward(sent)
    assert max(a.cycle - by_data[a.data] - 220 for a in twice) <= DUPLICATE_CYCLES + 100


def test_a_delayed_frame_holds_up_its_output_and_no_other() -> None:
    sent = [Sent(20 * i, i % 2, _raw(2 + i // 2 % 2, 64, i)) for i in range(4000)]
    rates = Rates(delay=0.1)
    holds = {s.data: fate(rates, 1, s.port, i // 2, s.data).hold for i, s in enumerate(sent)}
    assert 300 < sum(hold > 0 for hold in holds.values()) < 500 and 350 < max(holds.values()) <= DELAY_CYCLES
    fabric = Fabric(MACS, 220, rates=rates, seed=1)
    arrivals = fabric.forward(sent)
    assert fabric.done() == {"delayed": sum(hold > 0 for hold in holds.values())}
    for port in (2, 3):
        free, expected = 0, []
        for s in sent:  # in the order in which they left: none overtakes
            if s.data[5] == port:
                free = max((s.cycle + 220) * 125, free + 2 * (64 + 24)) + holds[s.data] * 125
                expected.append((-(-free // 125), s.data))
        assert [(a.cycle, a.data) for a in arrivals if a.port == port] == expected
        cycles = {s.data: s.cycle for s in sent}
        waited = [data for cycle, data in expected if cycle > cycles[data] + 220]
        assert len(waited) > 2 * sum(holds[data] > 0 for data in waited)  # those behind wait too


def test_cables_lead_to_the_other_end_whatever_the_address() -> None:
    fabric = Fabric(MACS, 30, segments=((0, 1), (2, 3)))
    got = fabric.forward([Sent(10, 0, _raw(3, 1088)), Sent(11, 1, _raw(0, 64)), Sent(10, 3, _raw(0, 64))])
    assert sorted((a.cycle, a.port) for a in got) == [(40, 1), (40, 2), (41, 0)]
    # a cable and a switch side by side: the switch knows its own ports only
    fabric = Fabric(MACS, 30, segments=((0, 1, 2),))
    assert [a.port for a in fabric.forward([Sent(10, 0, _raw(2, 64))])] == [2]
    with pytest.raises(KeyError, match="02f10e000003"):
        fabric.forward([Sent(11, 0, _raw(3, 64))])
    with pytest.raises(ValueError, match="port 1 is in two segments"):
        Fabric(MACS, 30, segments=((0, 1), (1, 2, 3)))


def test_a_cable_is_as_fast_as_the_line() -> None:
    got = Fabric(MACS, 30, segments=((0, 1),)).forward([Sent(5, 0, _raw(1, 64, i)) for i in range(1000)])
    assert got[-1].cycle == -(-(35 * 125 + 999 * 176) // 125)


def test_a_cut_takes_what_leaves_and_what_enters() -> None:
    fabric = Fabric(MACS, 30, cuts=(Cut(0, 100, 200),))
    sent = [Sent(cycle, 0, _raw(1, 64, cycle)) for cycle in (99, 100, 199, 200)]
    sent += [Sent(cycle, 2, _raw(0, 64, cycle)) for cycle in (69, 71, 169, 171)]
    got = fabric.forward(sent)
    assert sorted((a.cycle, a.port) for a in got) == [(99, 0), (129, 1), (201, 0), (230, 1)]
    assert fabric.done() == {"cut": 4} and fabric.done(150) == {"cut": 2}


def test_rates_are_checked() -> None:
    assert check_rate("LOSS", 0.0) is None and check_rate("LOSS", 0.5) is None
    for value in (-0.1, 0.51, float("nan")):
        why = check_rate("LOSS", value)
        assert why is not None and f"LOSS={value:g}" in why and "0 to 0.5" in why


def test_cuts_and_restarts_are_read() -> None:
    ports = {"node0": [0, 1], "node0.1": [1], "host": [4]}
    cuts, problems = parse_cuts("node0:5-9, host:100-200,node0.1:7-8", ports)
    assert problems == [] and cuts == (Cut(0, 5, 9), Cut(1, 5, 9), Cut(4, 100, 200), Cut(1, 7, 8))
    for text, word in (("node0", "for example"), ("node7:1-2", "node0, node0.1, host"), ("host:9-9", "greater")):
        cuts, problems = parse_cuts(text, ports)
        assert cuts == () and len(problems) == 1 and f"CUT={text}" in problems[0] and word in problems[0]
    restarts, problems = parse_restarts("RESTART", "b@100,a@2000-2500", ["a", "b"])
    assert problems == [] and restarts == (Restart(1, 100, 200), Restart(0, 2000, 2500))
    dead, problems = parse_restarts("DEAD", "a@5", ["a", "b"])
    assert problems == [] and dead == (Restart(0, 5, FOREVER),) and dead[0].dead
    for name, text, word in (
        ("RESTART", "a", "for example RESTART=node0@20000"),
        ("RESTART", "c@5", "a, b"),
        ("RESTART", "a@5-9", "at least 16"),
        ("DEAD", "a@5-90", "for example DEAD="),
    ):
        out, problems = parse_restarts(name, text, ["a", "b"])
        assert out == () and len(problems) == 1 and f"{name}={text}" in problems[0] and word in problems[0], problems


def test_restarts_of_one_node_keep_their_distance() -> None:
    a = Restart(0, 1000, 1100)
    assert check_restarts((a, Restart(1, 1200, 1300), Restart(0, 2124, 2200)), ["x", "y"]) == []
    assert "x restarts in cycle 2000, 900 cycles" in check_restarts((a, Restart(0, 2000, 2100)), ["x", "y"])[0]
    assert "x is dead from cycle 10" in check_restarts((a, Restart(0, 10, FOREVER)), ["x", "y"])[0]
