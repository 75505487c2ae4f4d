# SPDX-License-Identifier: Apache-2.0
"""The schedule model: against recorded and live RTL cycles, and what must hold for any plan."""

from __future__ import annotations

import dataclasses
import io
import re
from collections import Counter
from pathlib import Path

import pytest
from rich.console import Console

from floreana.cluster import layout
from floreana.cluster.description import find_project, load_project
from floreana.cluster.plan import Plan, array_words, make_plan
from floreana.cluster.schedule import Schedule, depths, schedule
from floreana.environment import project_root
from floreana.errors import InputError
from floreana.report import model_check, timeline
from floreana.report.bench_runs import Case, Runner
from floreana.report.model_check import Compared, Cycles, Row
from floreana.sim.flow import Teller


def plan_of(name: str, nodes: int | None = None) -> Plan:
    return make_plan(load_project(find_project(name), nodes=nodes))


class Silent:
    """A teller that says nothing."""

    def __getattr__(self, name: str) -> object:
        return lambda *args: None


# ------------------------------------------------------------------------------------------------------------- against the RTL


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    """The model beside every recorded run but the longest ones, which `make model-check` has."""
    return model_check.recorded_rows(tmp_path_factory.mktemp("projects"), most=2000)


def test_model_is_within_five_percent_of_every_recorded_run(recorded: list[Row]) -> None:
    errors = {(row.name, row.tokens): row.errors for row in recorded}
    assert not [(key, error) for key, error in errors.items() if any(e is not None and abs(e) > 0.05 for e in error)]
    assert all(row.within for row in recorded)


def test_runs_to_compare_cover_what_is_claimed(tmp_path: Path) -> None:
    """At least twenty are recorded; all of them: hidden 128 to 768, 1 to 128 tokens, 1 to 12 nodes, both strategies."""
    assert sum(len(runs) for runs in model_check.read_record().values()) >= 20
    cases = model_check.read_cases()
    plans = [model_check.plan_of(case, model_check.place(case, tmp_path)) for case in cases]
    assert {plan.strategy for plan in plans} == {"tensor", "pipeline"}
    assert {plan.topology for plan in plans} == {"star", "line", "ring"}
    assert {len(plan.nodes) for plan in plans} >= {1, 2, 3, 4, 6, 12}
    assert {plan.hidden for plan in plans} >= {128, 256, 384, 512, 768}
    assert {max(model_check.lengths(run)) for case in cases for run in case.runs} >= {1, 5, 16, 32, 64, 128}
    assert any(len(plan.clusters) > 1 for plan in plans) and any(case.held_out for case in cases)


def test_document_has_the_tables_of_the_record(recorded: list[Row]) -> None:
    text = (project_root() / model_check.DOCUMENT).read_text(encoding="utf-8")
    assert all("| " + " | ".join(model_check.cells(row)) + " |" in text for row in recorded)
    assert model_check.coefficients() in text


def test_live_run_of_a_tiny_node(tmp_path: Path) -> None:
    """Two sequences, one after the other, simulated under Icarus."""
    project = {
        "name": "tiny_live",
        "model": {"source": "synthetic", "hidden": 64, "heads": 2, "ffn": 64, "encoders": 1, "vocab": 100, "seed": 1},
        "cluster": {"nodes": 1, "mac_base": "02:f1:0e:00:00:00", "ip_base": "10.17.0.1"},
        "mapping": {"strategy": "tensor"},
        "build": {"k_lanes": 16, "out_n": 16, "post_lanes": 2, "norm_lanes": 2, "max_tokens": 4, "slots": 1},
    }
    case = Compared("tiny_live", "tiny_live", None, project, ("1,3",), held_out=False)
    path = model_check.place(case, tmp_path)
    plan = model_check.plan_of(case, path)
    teller: Teller = Silent()  # type: ignore[assignment]
    runner = Runner(tmp_path, teller, "0", 1, sim="icarus", builds=tmp_path / "sims")
    record = runner.run(Case(path, "1,3"))
    content = record["content"]
    found = schedule(plan, [1, 3])
    assert len(content["sentences"]) == len(found.sequences)
    for seen, told in zip(content["sentences"], found.sequences, strict=True):
        assert told.last_row - told.start == pytest.approx(seen["cycles"], rel=0.05)
    assert found.first_row == pytest.approx(record["first_row"], rel=0.05)


def test_first_row_of_a_recorded_capture_is_the_last_row_of_one_token(recorded: list[Row]) -> None:
    single = [row for row in recorded if row.tokens == "1" and row.rtl.first_row is not None]
    assert single
    assert all(row.rtl.first_row == row.rtl.last_row and row.model.first_row == row.model.last_row for row in single)


# ---------------------------------------------------------------------------------------------------------- what always holds

SOME = [("tiny_2", 16), ("tiny_2x2", 5), ("tiny_3_ring", 16), ("minilm_6_line", 7), ("ibert_base_6_pipeline", 4), ("ibert_base_6", 9)]


@pytest.mark.parametrize(("name", "tokens"), SOME)
def test_work_is_that_of_the_tables(name: str, tokens: int) -> None:
    """Array words, output beats and frames are those that the plan's tables ask for; no kernel has more work than time."""
    plan = plan_of(name)
    found = schedule(plan, tokens)
    for node in plan.nodes:
        words = sum(array_words(plan, context) for context in node.contexts) * tokens
        assert found.kernel(node.index, "linear").busy == words
        assert all(found.kernel(node.index, kernel).busy <= found.cycles for kernel in ("linear", "attention", "add_norm"))
        beats = 0
        for context in node.contexts:
            if context.kernel == "linear":
                run = node.messages["linear"][context.fields["msg_base"] : context.fields["msg_base"] + context.fields["msg_count"]]
                beats += tokens * sum(message.beats for message in run)
        assert found.kernel(node.index, "linear").out_beats == beats
        heads = sum(c.fields["beats"] for c in node.contexts if c.kernel == "attention")
        assert found.kernel(node.index, "attention").out_beats == heads * tokens
    normalised = sum(found.kernel(node.index, "add_norm").out_beats for node in plan.nodes)
    rows = tokens * (2 * plan.encoders + len({c.encoders[0] for c in plan.clusters}))
    assert normalised == rows * plan.hidden // layout.BEAT_BYTES
    assert found.cycles >= plan.mac_bound(tokens)
    assert all(0 < port.share <= 1 for port in found.ports if port.frames)


@pytest.mark.parametrize(("name", "tokens"), SOME)
def test_spans_follow_the_order_of_the_operators(name: str, tokens: int) -> None:
    found = schedule(plan_of(name), tokens)
    spans = [span for load in found.kernels for span in load.spans]
    assert all(0 <= span.begin < span.end <= found.cycles for span in spans)
    begin: dict[tuple[str, int], int] = {}
    for span in spans:
        key = (span.operator, span.encoder)
        begin[key] = min(span.begin, begin.get(key, span.begin))
    order = ("qkv", "attention", "out", "ln1", "ffn1", "ffn2", "ln2")
    for encoder in {span.encoder for span in spans}:
        times = [begin[operator, encoder] for operator in order]
        assert times == sorted(times)


def test_longer_links_and_more_tokens_take_longer() -> None:
    plan = plan_of("tiny_2")
    cycles = [schedule(plan, n).last_row for n in range(1, 17)]
    assert cycles == sorted(cycles)
    delays = [schedule(plan, 4, link_delay=delay).last_row for delay in (0, 100, 220, 1000)]
    assert delays == sorted(delays)
    # one token crosses the wire in turn: out, parts, row, parts and row of each encoder
    crossings = (schedule(plan, 1, link_delay=1100).last_row - schedule(plan, 1, link_delay=100).last_row) / 1000
    assert crossings == round(crossings)
    assert crossings >= 2 + 4 * plan.encoders - 1


def test_an_array_that_is_twice_as_narrow_has_twice_the_words() -> None:
    wide, narrow = plan_of("tiny_2"), plan_of("tiny_2")
    assert schedule(wide, 8) == schedule(narrow, 8)  # nothing is kept between calls


def test_two_in_flight_take_less_than_one_after_the_other() -> None:
    plan = plan_of("tiny_2")
    one, two = schedule(plan, [8] * 4), schedule(plan, [8] * 4, in_flight=2)
    assert two.interval < one.interval
    gaps = [later.start - earlier.last_row for earlier, later in zip(one.sequences, one.sequences[1:], strict=False)]
    assert set(gaps) == {depths.HOST_GAP}
    single = schedule(plan, 8)
    assert one.sequences[0] == single.sequences[0]


def test_chained_clusters_let_more_sequences_in() -> None:
    plan = plan_of("tiny_2x2")
    found = [schedule(plan, [8] * 6, in_flight=n).interval for n in (1, 2, 4)]
    assert found[0] > found[1] > found[2]


def test_link_delay_of_the_plan_is_the_default() -> None:
    plan = plan_of("tiny_2")
    assert schedule(plan, 3) == schedule(plan, 3, link_delay=plan.transport.link_delay)


@pytest.mark.parametrize(
    ("tokens", "in_flight", "said"),
    [(0, 1, "0 tokens"), (17, 1, "17 tokens"), ([], 1, "no sequence"), (4, 0, "0 sequences in flight"), (4, 3, "3 sequences in flight")],
)
def test_bad_arguments_are_named(tokens: int | list[int], in_flight: int, said: str) -> None:
    with pytest.raises(InputError, match=said):
        schedule(plan_of("tiny_2"), tokens, in_flight=in_flight)


def test_every_depth_has_its_source() -> None:
    """The table has every constant; RTL files that are named exist; parameters are those of the RTL."""
    names = {name for name in vars(depths) if name.isupper()}
    table = model_check.coefficients()
    assert set(re.findall(r"\| `(\w+)` \|", table)) == names
    files = {path.name: path.read_text(encoding="utf-8") for path in (project_root() / "rtl").rglob("*.v")}
    assert not set(re.findall(r"\b(\w+\.v)\b", table)) - set(files)
    parameters = {
        "ACC_GROUPS": ("ibert_linear.v", r"ACC_FIFO_GROUPS = (\d+)"),
        "POST_BEATS": ("ibert_post.v", r"localparam DEPTH +=\s+(\d+)"),
        "CONTEXT_SPACING": ("ibert_attention_context.v", r"SPACING = 5'd(\d+)"),
        "ATTENTION_ROOM": ("ibert_attention.v", r"localparam OUT_N +=\s+(\d+)"),
        "SWITCH_CELLS": ("net_switch.v", r"CELLS +=\s+(\d+)"),
        "SWITCH": ("net_switch.v", r"first beat in -> first beat out: (\d+) cycles"),
        "ETH_TX": ("net_eth_tx.v", r"header at mac_tx (\d+) cycles where nothing waits"),
        "ETH_RX": ("net_eth_rx.v", r"first beat of the message out (\d+) cycles"),
        "GATEWAY": ("node_gateway.v", r"last beat in -> first beat out (\d+) cycles"),
        "LINEAR_IN": ("ibert_linear_in.v", r"Latency (\d+) cycles from a"),
        "ROW_QUEUE": ("ibert_row_queue.v", r"Latency (\d+) cycles from push"),
        "ACC_FIFO": ("ibert_acc_fifo.v", r"Latency (\d+) cycles, one unit a cycle"),
        "SCORES": ("ibert_attention_score.v", r"Latency: (\d+) cycles from a job's last key"),
    }
    for name, (file, pattern) in parameters.items():
        found = re.search(pattern, files[file])
        assert found is not None, f"{file}: {pattern}"
        assert int(found[1]) == getattr(depths, name), name


def test_depths_add_up_to_the_budgets_of_the_headers() -> None:
    files = {path.name: path.read_text(encoding="utf-8") for path in (project_root() / "rtl").rglob("*.v")}
    linear = re.search(r"first beat out, with the output idle: (\d+) \+ ksteps", files["ibert_linear.v"])
    assert linear is not None
    d = depths
    assert int(linear[1]) == d.LINEAR_IN + d.ROW_QUEUE + d.SEQUENCER + d.ARRAY - 1 + d.ACC_FIFO + d.EMIT
    attention = re.search(r"3n \+ (\d+) cycles from the completing beat", files["ibert_attention.v"])
    assert attention is not None
    # three times a stage's n keys, which begin a cycle behind the job
    total = d.ATTENTION_IN + d.OFFER + d.SCORES + d.EXPONENTIALS + d.CONTEXT + d.ATTENTION_OUT
    assert total == int(attention[1])


# --------------------------------------------------------------------------------------------------------------- the command


class Told:
    """A runner whose runs are told, not simulated."""

    def __init__(self, folder: Path, cycles: dict[str, Cycles]) -> None:
        self.folder, self.cycles = folder, cycles
        self.builds: Path | None = None
        self.simulate: object = None

    def run(self, case: Case) -> dict[str, object]:
        assert case.tokens is not None
        cycles = self.cycles[case.tokens]
        count = len(case.tokens.split(","))
        end = cycles.last_row if cycles.interval is None else round(cycles.interval * count)
        sentences = [{"start": 100, "end": 100 + cycles.last_row}] + [{"start": 100, "end": 100 + end}] * (count - 1)
        return {"content": {"sentences": sentences}, "first_row": cycles.first_row}


def check(folder: Path, factor: float) -> tuple[int, str]:
    """model-check of tiny_2 with RTL cycles that are the model's times ``factor``."""
    case = model_check.chosen("tiny_2", model_check.read_cases())[0]
    plan = model_check.plan_of(case, case.project)
    told = {}
    for run in case.runs:
        model = model_check.modelled(plan, run)
        interval = None if model.interval is None else model.interval * factor
        told[run] = Cycles(round((model.first_row or 0) * factor), round(model.last_row * factor), interval)
    out = io.StringIO()
    runner: Runner = Told(folder, told)  # type: ignore[assignment]
    code = model_check.model_check(runner, Console(file=out, width=200), only="tiny_2")
    return code, out.getvalue()


def test_model_check_fails_beyond_five_percent(tmp_path: Path) -> None:
    code, text = check(tmp_path, 1.0)
    assert code == 0
    assert "greatest error 0.0" in text
    for factor in (0.94, 1.06):
        code, text = check(tmp_path, factor)
        assert code == 1
        assert "more than 5 % from the RTL" in text


def test_record_reads_back(tmp_path: Path) -> None:
    record = {"a": {"1": Cycles(10, 20, None), "4,4": Cycles(10, 30, 25.5)}}
    model_check.write_record(record, tmp_path / "record.toml")
    assert model_check.read_record(tmp_path / "record.toml") == record


def test_unknown_plan_and_damaged_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nonsense is no plan"):
        model_check.chosen("nonsense", model_check.read_cases())
    bad = tmp_path / "cases.toml"
    bad.write_text('[plans.a]\nproject = "tiny_2"\nwrong = 1\nruns = ["1"]\n')
    with pytest.raises(InputError, match="unknown keys wrong"):
        model_check.read_cases(bad)
    with pytest.raises(InputError, match="make model-check RECORD=1"):
        model_check.read_record(tmp_path / "none.toml")


# ------------------------------------------------------------------------------------------------------------------ timeline


@pytest.fixture(scope="module")
def tiny() -> tuple[Plan, Schedule]:
    plan = plan_of("tiny_2")
    return plan, schedule(plan, 5)


def test_text_tells_utilisation_and_every_operator(tiny: tuple[Plan, Schedule]) -> None:
    plan, found = tiny
    text = timeline.text(plan, found)
    assert f"{found.last_row:,}" in text
    busy = found.kernel(0, "linear").busy
    assert f"{100 * busy / found.cycles:.1f} %" in text
    bars = dict(re.findall(r"^  (\w+) *\|(.*)\|$", text, flags=re.MULTILINE))
    assert set(bars) == {name for name, _ in timeline.LANES}
    assert all(len(bar) == timeline.COLUMNS for bar in bars.values())
    assert set(Counter(bars["ffn1"])) == {" ", "0", "1"}  # both encoders


def test_nodes_that_differ_are_all_shown() -> None:
    plan = plan_of("ibert_base_6_pipeline")
    assert timeline.alike(plan) == [(0,), (1, 2), (3,), (4,), (5,)]
    assert timeline.alike(plan_of("tiny_2x2")) == [(0, 1), (2, 3)]


def test_drawing_is_the_same_bytes(tiny: tuple[Plan, Schedule], tmp_path: Path) -> None:
    plan, found = tiny
    first = [path.read_bytes() for path in timeline.draw(plan, found, tmp_path / "a")]
    again = [path.read_bytes() for path in timeline.draw(plan, schedule(plan, 5), tmp_path / "b")]
    assert first == again
    assert first[0].startswith(b"<?xml")
    assert first[1].startswith(b"\x89PNG")
    other = dataclasses.replace(found, sequences=(dataclasses.replace(found.sequences[0], tokens=6),))
    assert timeline.draw(plan, other, tmp_path / "c")[0].read_bytes() != first[0]
