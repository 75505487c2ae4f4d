# SPDX-License-Identifier: Apache-2.0
"""Project tiny_2 from end to end on both simulators, what a run leaves behind, and errors planted in it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dissected import TSHARK, compare_capture
from jsonschema import Draft202012Validator, ValidationError

from floreana.cli import main
from floreana.cluster import layout
from floreana.environment import project_root
from floreana.errors import DiffersError
from floreana.ibert.model import model
from floreana.ibert.quantise import embed_rows
from floreana.ibert.store import load_params
from floreana.ibert.synthetic import random_ids, synthetic_bert
from floreana.report.compare import find_attempts, find_sentences
from floreana.report.transport import inspect
from floreana.sim import flow
from floreana.sim.capture import read_capture
from floreana.sim.faults import KINDS
from floreana.sim.flow import Finished, Hooks, Options, simulate
from floreana.sim.job import Fault

BUILDS = project_root() / "build" / "test_sim"  # built simulators, found again by their content
TOKENS = "3,2"


class Quiet:
    """A teller that only remembers."""

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.progressed: list[dict[str, Any]] = []

    def stage(self, text: str) -> None:
        self.stages.append(text)

    def built(self, simulator: Any) -> None:
        self.stages.append(f"built {simulator.kind}")

    def progress(self, line: dict[str, Any], sentences: int, rows: int) -> None:
        self.progressed.append(line)

    def sentence(self, number: int, report: Any, plan: Any) -> None:
        self.stages.append(f"sentence {number}")

    def summary(self, content: dict[str, Any], analysis: Any, outcome: Any, folder: Path) -> None:
        self.stages.append("summary")


def _options(out: Path, sim: str = "verilator", **changes: Any) -> Options:
    return replace(Options(project="tiny_2", tokens=TOKENS, sim=sim, out=out), **changes)


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    patch = pytest.MonkeyPatch()
    patch.setenv("FLOREANA_CACHE", str(tmp_path_factory.mktemp("cache")))
    yield
    patch.undo()


def _run(out: Path, sim: str) -> tuple[Finished, Quiet]:
    teller = Quiet()
    return simulate(_options(out, sim), teller, "test", Hooks(builds=BUILDS)), teller


@pytest.fixture(scope="module")
def verilator(tmp_path_factory: pytest.TempPathFactory) -> tuple[Finished, Quiet]:
    return _run(tmp_path_factory.mktemp("verilator"), "verilator")


@pytest.fixture(scope="module")
def icarus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Finished, Quiet]:
    return _run(tmp_path_factory.mktemp("icarus"), "icarus")


def _plain(done: Finished) -> dict[str, Any]:
    return {name: value for name, value in done.content.items() if name not in ("timing", "simulator")}


def test_both_simulators_take_the_same_cycles_and_send_the_same_bits(
    verilator: tuple[Finished, Quiet], icarus: tuple[Finished, Quiet]
) -> None:
    a, b = verilator[0], icarus[0]
    assert a.content["bit_exact"] is True and _plain(a) == _plain(b)
    for name in ("traffic.pcapng", "outputs.npz", "plan.json", "params.npz"):
        assert (a.folder / name).read_bytes() == (b.folder / name).read_bytes(), name
    for name in sorted(p.name for p in (a.folder / "images").iterdir()):
        assert (a.folder / "images" / name).read_bytes() == (b.folder / "images" / name).read_bytes(), name


def test_a_second_run_is_identical_apart_from_timing(verilator: tuple[Finished, Quiet], tmp_path: Path) -> None:
    again, teller = _run(tmp_path, "verilator")
    first = verilator[0]
    assert "verilator: built already" in teller.stages
    assert _plain(again) == _plain(first)
    for name in ("traffic.pcapng", "outputs.npz"):
        assert (again.folder / name).read_bytes() == (first.folder / name).read_bytes(), name


def test_the_window_changes_nothing_but_speed(verilator: tuple[Finished, Quiet], tmp_path: Path) -> None:
    other = simulate(_options(tmp_path, window=33), Quiet(), "test", Hooks(builds=BUILDS))
    assert _plain(other) == _plain(verilator[0])
    assert (other.folder / "traffic.pcapng").read_bytes() == (verilator[0].folder / "traffic.pcapng").read_bytes()


def test_a_longer_link_delay_costs_cycles_and_no_bit(verilator: tuple[Finished, Quiet], tmp_path: Path) -> None:
    other = simulate(_options(tmp_path, link_delay=400), Quiet(), "test", Hooks(builds=BUILDS))
    assert other.content["link_delay"] == 400 and other.content["bit_exact"] is True
    assert other.content["cycles"] > verilator[0].content["cycles"] + 2 * 180
    assert other.plan.transport.rto > verilator[0].plan.transport.rto
    with np.load(other.folder / "outputs.npz") as a, np.load(verilator[0].folder / "outputs.npz") as b:
        assert all(np.array_equal(a[name], b[name]) for name in b)


def test_result_follows_its_schema(verilator: tuple[Finished, Quiet]) -> None:
    done = verilator[0]
    schema = json.loads((project_root() / "docs" / "result.schema.json").read_text())
    content = json.loads((done.folder / "result.json").read_text())
    assert content == done.content
    result = Draft202012Validator(schema)
    result.check_schema(schema)
    result.validate(content)
    for broken in ({**content, "extra": 1}, {**content, "cycles": "many"}):
        with pytest.raises(ValidationError):
            result.validate(broken)


def test_what_a_run_says_about_itself_adds_up(verilator: tuple[Finished, Quiet]) -> None:
    done, teller = verilator
    content, folder = done.content, done.folder
    assert [s["tokens"] for s in content["sentences"]] == [3, 2] and content["tokens"] == 5
    for sentence in content["sentences"]:
        assert sum(sentence["cycles_per_encoder"]) == sentence["cycles"] > done.plan.mac_bound(sentence["tokens"])
    assert content["cycles"] == sum(s["cycles"] for s in content["sentences"])
    names, records = read_capture(folder / "traffic.pcapng")
    assert names == ["node0", "node1", "host"]
    outbound = [r for r in records if r.outbound]
    assert content["frames"] == len(outbound) and content["wire_bytes"] == sum(len(r.data) for r in outbound)
    transport = content["transport"]
    assert sum(transport["frames"].values()) == len(outbound) and transport["frames"]["nack"] == 0
    assert (transport["again"], transport["network"], transport["dropped"], transport["events"]) == (0, {}, {}, [])
    assert transport["attempts"] == [1, 1] and transport["failed_links"] == []
    for words in done.outcome.words.values():
        assert words["eth0.tx.again"] == words["node.lost"] == 0 and words["eth0.rx.accepted"] > 0
    # every frame that left arrived as it was, at least the delay later, its last beat in step with the line
    data = [r for r in records if not r.data[42] & 31]
    left: dict[bytes, int] = {r.data: r.cycle for r in data if r.outbound}
    assert len(left) == transport["frames"]["data"]
    for record in data:
        assert record.outbound or record.cycle >= left.pop(record.data) + 220
    assert not left
    traffic = inspect(done.plan, records)
    assert traffic.problem is None and sum(traffic.once) == len(data)
    sentences = find_sentences(done.plan, find_attempts(done.plan, records, traffic.once))
    assert [(s.slot, s.generation) for s in sentences] == [(0, 0), (1, 0)]
    assert sentences[1].start == sentences[0].start + content["sentences"][0]["cycles"] + 64
    manifest = json.loads((folder / "images" / "manifest.json").read_text())
    lines = [manifest["files"][f"node{k}.hex"]["lines"] for k in (0, 1)]
    assert done.outcome.load_writes == tuple(lines)
    assert content["load_cycles"] == 24 + max(lines) + 2
    assert teller.stages[-3:] == ["sentence 0", "sentence 1", "summary"]
    assert [line["stage"] for line in teller.progressed][:1] == ["loading"]
    assert "floreana.sim.bench.cluster" in (folder / "sim" / "run.log").read_text()
    # the rows in outputs.npz are those of the integer model, computed here once more
    weights = synthetic_bert(1, 128, 2, 256, 2, 100)
    params = load_params(folder / "params.npz")
    with np.load(folder / "outputs.npz") as outputs:
        for i, count in enumerate((3, 2)):
            trace = model(params, embed_rows(params, weights, random_ids(1 + i, count, 100)))
            for e in range(2):
                assert np.array_equal(outputs[f"s{i}_e{e}_rtl"], trace[e].ln2)
            assert abs(np.linalg.norm(outputs[f"s{i}_embedding"]) - 1) < 1e-12


def test_nothing_half_written_is_left(verilator: tuple[Finished, Quiet]) -> None:
    folder = verilator[0].folder
    assert sorted(p.name for p in folder.iterdir()) == sorted(
        [".lock", "images", "outputs.npz", "params.npz", "plan.json", "result.json", "sim", "traffic.pcapng"]
    )


def test_verify_agrees_in_a_process_of_its_own(
    verilator: tuple[Finished, Quiet], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "tiny_2"
    folder.mkdir()
    for name in ("plan.json", "params.npz", "traffic.pcapng"):  # these and nothing else
        shutil.copy(verilator[0].folder / name, folder)
    assert main(["verify", str(folder)]) == 0
    assert "equal" in capsys.readouterr().out
    claims = json.loads((verilator[0].folder / "result.json").read_text())
    (folder / "result.json").write_text(json.dumps({**claims, "cycles": claims["cycles"] + 1}))
    assert main(["verify", str(folder)]) == 1
    assert f"cycles {claims['cycles'] + 1}, the capture says {claims['cycles']}" in capsys.readouterr().err
    (folder / "result.json").write_text(json.dumps(claims))
    assert main(["verify", str(folder)]) == 0
    _names, records = read_capture(folder / "traffic.pcapng")
    raw = bytearray((folder / "traffic.pcapng").read_bytes())
    victim = next(r for r in records if r.outbound and r.port == 1 and len(r.data) >= 192 and r.data[63] >> 4 & 3 != layout.TYPE_CONTROL)
    at = raw.find(victim.data)
    raw[at + 64 + 9] ^= 0x10
    (folder / "traffic.pcapng").write_bytes(raw)
    assert main(["verify", str(folder)]) == 1
    error = capsys.readouterr().err
    assert "first difference" in error and "kernel node1." in error


if TSHARK is not None:

    def test_tshark_dissects_every_frame_of_the_capture(verilator: tuple[Finished, Quiet]) -> None:
        """Each field that docs/wireshark/floreana.lua shows is what the bytes say, and nothing is complained of."""
        path = verilator[0].folder / "traffic.pcapng"
        checked, seen = compare_capture(path)
        # once where it left and once where it arrived, but for what is under way when the run ends
        assert verilator[0].content["frames"] < checked <= 2 * verilator[0].content["frames"]
        # a clean run has all types but nack, and slices as well as control messages
        assert set(seen) == {"ack", "hello", "hello-ack", "int8", "int32", "control"}, seen
        print(f"every field of {checked} frames compared: {dict(seen)}")


# ----------------------------------------------------------------------------------------------------------------- planted errors


def _flip_image(node: int, unit: int, mem: int, index: int, bit: int) -> Callable[[Path], None]:
    """Flip one bit of what the configuration bus will write to one address."""

    def plant(folder: Path) -> None:
        path = folder / f"node{node}.hex"
        lines = path.read_text().splitlines()
        address = f"{layout.cfg_addr(unit, mem, index):08x}"
        found = [i for i, line in enumerate(lines) if line[:8].lower() == address]
        assert len(found) == 1, address
        lines[found[0]] = f"{int(lines[found[0]], 16) ^ 1 << bit:0136x}"
        path.write_text("\n".join(lines) + "\n")

    return plant


def _broken(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, hooks: Hooks) -> str:
    """Run the command line on a planted error: it must exit with 1. Returns what it said."""
    monkeypatch.setattr(flow, "Hooks", lambda: replace(hooks, builds=BUILDS))
    assert main(["sim", "--project", "tiny_2", "--tokens", TOKENS, "--out", str(tmp_path)]) == 1
    return capsys.readouterr().err


def test_a_flipped_weight_bit_is_found(
    verilator: tuple[Finished, Quiet], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """FFN2 of encoder 0 on node 1: output 21 (group 1, output 5), lane 7.

    It shows on the wire in the first row that node 0 owns and whose activation 7 on node 1 is not 0.
    """
    plan = verilator[0].plan
    params = load_params(verilator[0].folder / "params.npz")
    context = plan.nodes[1].context("ffn2", 0)
    k_lanes, column = plan.shape["K_LANES"], plan.shape["OUT_N"] + 5
    steps = context.fields["in_beats"] * 64 // k_lanes
    word = context.fields["w_base"] + 1 * steps
    trace = model(params, embed_rows(params, synthetic_bert(1, 128, 2, 256, 2, 100), random_ids(1, 3, 100)), parts=2)[0]
    lane = params.ffn // 2 + 7
    row = next(t for t in range(3) if plan.owners[t] == 0 and trace.ffn1[t, lane])
    weight = int(params.encoders[0].ffn2.weight[column, lane])
    change = int(trace.ffn1[row, lane]) * (-64 if weight & 64 else 64)
    expected = int(trace.ffn2_parts[1][row, column])
    hooks = Hooks(images=_flip_image(1, layout.UNIT_LINEAR, layout.MEM_WEIGHT, word << 6 | 5, 8 * 7 + 6))
    error = _broken(tmp_path, capsys, monkeypatch, hooks)
    place = f"sentence 0, encoder 0, kernel node1.linear (number 2) (ffn2_part), row {row}, column {column}:"
    assert f"{place} got {expected + change}, expected {expected}" in error, error


def test_another_requant_constant_is_found(
    verilator: tuple[Finished, Quiet], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """add_norm of node 0, LN1 of encoder 1, channel 9: the bit that doubles or halves its last requantisation."""
    plan = verilator[0].plan
    context = plan.nodes[0].context("ln1", 1)
    index = context.fields["chan_base"] * plan.shape["NORM_LANES"] + 9
    bit = 32 + 7 + 32 + 7 + 32 + 32  # the lowest bit of oe
    error = _broken(tmp_path, capsys, monkeypatch, Hooks(images=_flip_image(0, layout.UNIT_ADD_NORM, layout.MEM_CHANNEL, index, bit)))
    assert "sentence 0, encoder 1, kernel node0.add_norm (number 129) (ln1), row 0, column 9: got" in error, error
    # and what was captured still says so
    assert main(["verify", str(tmp_path / "tiny_2")]) == 1
    assert "encoder 1, kernel node0.add_norm" in capsys.readouterr().err
    assert json.loads((tmp_path / "tiny_2" / "result.json").read_text())["bit_exact"] is False


def test_a_bit_flipped_on_the_wire_is_found(
    verilator: tuple[Finished, Quiet], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Payload byte 77 of the first row that node 1 finishes for encoder 0 (row 1), on its way to node 0."""
    edge = next(n for n, e in verilator[0].plan.edges.items() if (e.encoder, e.tensor) == (1, "entry"))
    _, records = read_capture(verilator[0].folder / "traffic.pcapng")
    sent = sorted((r for r in records if r.outbound), key=lambda r: (r.cycle, r.port))
    number = next(i for i, r in enumerate(sent) if r.port == 1 and not r.data[42] & 31 and r.data[56] == edge)
    hooks = Hooks(faults=(Fault("flip", number, 8 * (64 + 77) + 2),))
    error = _broken(tmp_path, capsys, monkeypatch, hooks)
    assert "sentence 0, encoder 0, kernel node1.add_norm (number 130) (ln2), row 1, column 77: got" in error, error
    assert "(as it arrived)" in error


@pytest.mark.parametrize("kind", ["drop", "repeat", "swap"])
def test_a_frame_out_of_step_between_nodes_is_made_good(verilator: tuple[Finished, Quiet], tmp_path: Path, kind: str) -> None:
    _, records = read_capture(verilator[0].folder / "traffic.pcapng")
    sent = sorted((r for r in records if r.outbound), key=lambda r: (r.cycle, r.port))
    ways = [i for i, r in enumerate(sent) if r.port == 0 and r.data[:6] == (0x02F10E000001).to_bytes(6, "big")]
    number = next(a for a, b in pairwise(ways) if not (sent[a].data[42] | sent[b].data[42]) & 31)  # two data frames
    done = simulate(_options(tmp_path), Quiet(), "test", Hooks(faults=(Fault(kind, number),), builds=BUILDS))
    assert done.content["bit_exact"] is True
    drops = done.content["transport"]["dropped"]["node1"]
    assert drops.get("duplicate", 0) == (1 if kind == "repeat" else drops.get("duplicate", 0))
    assert (drops.get("gap", 0) > 0) == (kind != "repeat")
    assert (done.content["transport"]["again_by"].get("node0", 0) > 0) == (kind != "repeat")


def test_a_lost_image_is_an_error_and_no_hang(verilator: tuple[Finished, Quiet], tmp_path: Path) -> None:
    """A node without weights never answers: the run ends, and says which rows it waited for."""
    hooks = Hooks(images=lambda folder: (folder / "node1.hex").write_text("") and None, builds=BUILDS)
    with pytest.raises(DiffersError) as caught:
        simulate(_options(tmp_path), Quiet(), "test", hooks)
    assert "lacks row(s)" in caught.value.message or "lost" in caught.value.message, caught.value.message


# -------------------------------------------------------------------------------------------------------------------------- trouble


def _same_rows(a: Finished, b: Finished) -> None:
    with np.load(a.folder / "outputs.npz") as x, np.load(b.folder / "outputs.npz") as y:
        assert sorted(x) == sorted(y) and all(np.array_equal(x[name], y[name]) for name in x)


TENTH = dict.fromkeys(KINDS, 0.1)


@pytest.mark.parametrize("names", [("loss",), ("dup",), ("reorder",), ("corrupt",), ("delay",), tuple(TENTH)], ids="-".join)
def test_a_bad_network_costs_cycles_and_no_bit(verilator: tuple[Finished, Quiet], tmp_path: Path, names: tuple[str, ...]) -> None:
    options = _options(tmp_path, seed=1, compare_clean=len(names) > 1, **{name: TENTH[name] for name in names})
    done = simulate(options, Quiet(), "test", Hooks(builds=BUILDS))
    transport = done.content["transport"]
    assert done.content["bit_exact"] is True and set(transport["network"]) == {KINDS[name] for name in names}
    assert (transport["again"] > 0) == (names not in (("dup",), ("delay",))) and transport["failed_links"] == []
    _same_rows(done, verilator[0])
    if options.compare_clean:
        assert transport["cycles_clean"] == verilator[0].content["cycles"]
        assert transport["cycles_added"] == done.content["cycles"] - transport["cycles_clean"] > 0
        # what was captured says the same, and the window changes nothing
        assert main(["verify", str(done.folder)]) == 0
        again = simulate(replace(options, window=50, out=tmp_path / "again"), Quiet(), "test", Hooks(builds=BUILDS))
        assert (again.folder / "traffic.pcapng").read_bytes() == (done.folder / "traffic.pcapng").read_bytes()
        assert _plain(again) == _plain(done)


@pytest.mark.parametrize("copy", ["direct_edge", "row_edge"])
def test_a_direct_row_whose_copy_is_lost_is_made_good(verilator: tuple[Finished, Quiet], tmp_path: Path, copy: str) -> None:
    """Row 0 reaches one node a retransmission later than the other: the owner last, or the one that works for it."""
    plan, host = verilator[0].plan, len(verilator[0].plan.nodes)
    _, records = read_capture(verilator[0].folder / "traffic.pcapng")
    sent = sorted((r for r in records if r.outbound), key=lambda r: (r.cycle, r.port))
    edge = getattr(plan.entry, copy)
    number = next(i for i, r in enumerate(sent) if r.port == host and not r.data[42] & 31 and r.data[56] == edge)
    done = simulate(_options(tmp_path), Quiet(), "test", Hooks(faults=(Fault("drop", number),), builds=BUILDS))
    assert done.content["bit_exact"] is True and done.content["transport"]["again_by"]["host"] > 0
    _same_rows(done, verilator[0])


@pytest.mark.parametrize("direct", [0, 2, 3])
def test_any_number_of_direct_rows_gives_the_same_bits(
    verilator: tuple[Finished, Quiet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, direct: int
) -> None:
    one = verilator[0]
    monkeypatch.setattr("floreana.cluster.plan.DIRECT_ROWS", direct)
    done = simulate(_options(tmp_path / "clean"), Quiet(), "test", Hooks(builds=BUILDS))
    assert done.plan.entry.direct == direct and one.plan.entry.direct == 1 and done.content["bit_exact"] is True
    if direct == 3:  # all rows of both sentences
        assert one.content["cycles"] - done.content["cycles"] > 300
    _same_rows(done, one)
    bad = simulate(_options(tmp_path / "bad", **TENTH), Quiet(), "test", Hooks(builds=BUILDS))
    assert bad.content["bit_exact"] is True and bad.content["transport"]["again"] > 0
    _same_rows(bad, one)
    restart = f"node1@{done.outcome.sentences[0].start + 1500}"
    again = simulate(_options(tmp_path / "again", restart=restart), Quiet(), "test", Hooks(builds=BUILDS))
    assert again.content["bit_exact"] is True and again.content["transport"]["attempts"] == [2, 1]
    _same_rows(again, one)


def test_two_sentences_may_overlap(verilator: tuple[Finished, Quiet], tmp_path: Path) -> None:
    options = _options(tmp_path, tokens="5,5,5", in_flight=2)
    done = simulate(options, Quiet(), "test", Hooks(builds=BUILDS))
    assert done.content["bit_exact"] is True
    a, b, _ = done.outcome.sentences
    assert a.start < b.start < a.end


@pytest.mark.parametrize("victim", ["node0", "node1"])
def test_a_node_that_restarts_is_loaded_and_its_sentence_sent_again(verilator: tuple[Finished, Quiet], tmp_path: Path, victim: str) -> None:
    begin = verilator[0].outcome.sentences[0].start + 1500
    done = simulate(_options(tmp_path, restart=f"{victim}@{begin}"), Quiet(), "test", Hooks(builds=BUILDS))
    transport = done.content["transport"]
    assert done.content["bit_exact"] is True and transport["attempts"] == [2, 1]
    assert any(event["text"] == f"{victim} restarted" for event in transport["events"])
    assert transport["network"] == {}
    _same_rows(done, verilator[0])
    assert main(["verify", str(done.folder)]) == 0


def test_a_dead_node_ends_the_run_with_its_name(
    verilator: tuple[Finished, Quiet], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the time that docs/result.md states: RETRIES x RTO until the link fails, and the patience of the host."""
    monkeypatch.setattr(flow, "Hooks", lambda: Hooks(builds=BUILDS))
    begin = verilator[0].outcome.sentences[0].start + 1500
    assert main(["sim", "--project", "tiny_2", "--tokens", TOKENS, "--dead", f"node1@{begin}", "--out", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert "node1 stays dead" in error and "the host's link to node1 failed" in error, error
    timers = verilator[0].plan.transport
    manifest = json.loads((tmp_path / "tiny_2" / "images" / "manifest.json").read_text())
    patience = 2 * timers.retries * timers.rto + 2 * max(item["lines"] for item in manifest["files"].values())
    _, records = read_capture(tmp_path / "tiny_2" / "traffic.pcapng")
    took = max(record.cycle for record in records) - begin
    assert timers.retries * timers.rto < took < timers.retries * timers.rto + patience + timers.keep + 2 * timers.rto


def test_a_cut_cable_is_bridged(verilator: tuple[Finished, Quiet], tmp_path: Path) -> None:
    begin = verilator[0].outcome.sentences[0].start + 1000
    done = simulate(_options(tmp_path, cut=f"node1:{begin}-{begin + 3000}"), Quiet(), "test", Hooks(builds=BUILDS))
    transport = done.content["transport"]
    assert done.content["bit_exact"] is True and transport["attempts"] == [1, 1] and transport["network"]["cut"] > 0
    _same_rows(done, verilator[0])


def test_images_in_frames_give_the_same_bits(verilator: tuple[Finished, Quiet], tmp_path: Path) -> None:
    """The loaders stay idle; the host writes every entry through the managers."""
    done = simulate(_options(tmp_path, load="frames"), Quiet(), "test", Hooks(builds=BUILDS))
    assert done.content["bit_exact"] is True and done.outcome.load_writes == (0, 0)
    _same_rows(done, verilator[0])
    # The links visit their peers in turn from reset on (rtl/net/net_link.v): a sentence that begins elsewhere in the round sees its
    # acknowledgements up to two rounds of 2 * PEERS_N cycles earlier or later
    rounds = 2 * 2 * done.plan.shape["PEERS_N"]
    for mine, other in zip(done.content["sentences"], verilator[0].content["sentences"], strict=True):
        assert abs(mine["cycles"] - other["cycles"]) <= rounds
    manifest = json.loads((done.folder / "images" / "manifest.json").read_text())
    for k in (0, 1):
        assert done.outcome.words[f"node{k}"]["manager.words_written"] == manifest["files"][f"node{k}.hex"]["lines"]
    assert main(["verify", str(done.folder)]) == 0


def test_a_node_that_restarts_gets_its_image_in_frames_again(verilator: tuple[Finished, Quiet], tmp_path: Path) -> None:
    """On a bad network, too: it is reported, the host writes its image once more, flushes and sends the sentence again."""
    few = {"loss": 0.01, "dup": 0.01, "reorder": 0.01, "corrupt": 0.01}
    calm = simulate(_options(tmp_path / "calm", load="frames", **few), Quiet(), "test", Hooks(builds=BUILDS))
    begin = calm.outcome.sentences[0].start + 1500
    done = simulate(_options(tmp_path, load="frames", restart=f"node1@{begin}", **few), Quiet(), "test", Hooks(builds=BUILDS))
    transport = done.content["transport"]
    assert done.content["bit_exact"] is True and done.outcome.load_writes == (0, 0) and transport["attempts"] == [2, 1]
    assert any(event["text"] == "node1 restarted" for event in transport["events"])
    _same_rows(done, verilator[0])
    manifest = json.loads((done.folder / "images" / "manifest.json").read_text())
    written = [done.outcome.words[f"node{k}"]["manager.words_written"] for k in (0, 1)]
    lines = [manifest["files"][f"node{k}.hex"]["lines"] for k in (0, 1)]
    # a reset clears the counters; what node 0 tells of the restart meanwhile begins the recovery, and the image, again
    assert written[0] == lines[0] and written[1] >= lines[1]
    assert main(["verify", str(done.folder)]) == 0
