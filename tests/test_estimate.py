# SPDX-License-Identifier: Apache-2.0
"""`make estimate`: data with sources, layouts against the mapper and the simulated clusters, refusals, tables and plot."""

from __future__ import annotations

import copy
import json
import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from floreana.boards import device
from floreana.cli import main
from floreana.cluster.description import find_project, load_project
from floreana.cluster.plan import Plan, array_words
from floreana.cluster.schedule import schedule
from floreana.environment import project_root
from floreana.errors import InputError
from floreana.estimate import estimate as program
from floreana.estimate.data import ENGINES, SIMULATED, load_engines, load_simulated, targets
from floreana.estimate.engines import efficiency_of, engines_estimate, memory_shares
from floreana.estimate.estimate import EstimateOptions, counts_of, estimate_grid, grids, merged, notes, record, refusals, systems
from floreana.estimate.layout import LIMITS, Chooser, Layout, Misfit, Model, Network, bounds, latency, line_bytes, needs_of, shares, words
from floreana.estimate.plot import draw
from floreana.estimate.timing import Timer
from floreana.report.bench_data import published_peers
from floreana.report.model_check import read_record
from floreana.report.published import FILE, load_published, parse_published

AT_200 = Network.at(200e6, 1.1e-6)
BERT = Model(768, 12, 3072, 12)
DOCS = project_root() / "docs"


@pytest.fixture(scope="module")
def chooser() -> Chooser:
    """Of BERT-base, 128 tokens."""
    return Chooser(load_project(find_project("ibert_base_3x12")), 128, AT_200)


def number(text: str) -> int:
    return int(text.replace(",", ""))


# ------------------------------------------------------------------ data


def test_every_published_figure_has_a_kind_a_public_source_and_a_value() -> None:
    found = load_published()
    assert len(found) >= 10
    for each in found:
        assert each.kind == "published" and each.source
        assert each.source.startswith(("github.com/", "arXiv ")), each.id
        assert (each.ms is None) != (each.figure is None)
    latency = {(each.system, each.dtype, each.tokens): each.ms for each in found}
    assert latency["A100 40 GB, TensorRT 8.4.3", "INT8", 128] == 0.58
    assert latency["A100 40 GB, AITemplate", "FP16", 64] == 0.71
    assert published_peers()[0].figure == "INT8 0.58 ms, FP16 0.67 ms"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows[0].pop("source"), "a100_trt_int8: source: Field required"),
        (lambda rows: rows[0].update(source=" "), "a100_trt_int8: source"),
        (lambda rows: rows[0].update(kind="measured"), "a100_trt_int8: kind: Input should be 'published'"),
        (lambda rows: rows[0].pop("ms"), "tokens, dtype and ms are needed, or figure alone"),
        (lambda rows: rows[0].update(figure="fast"), "tokens, dtype and ms are needed, or figure alone"),
        (lambda rows: rows[0].update(ms=0), "a100_trt_int8: ms"),
        (lambda rows: rows.append(rows[0]), "a100_trt_int8 stands there 2 times"),
        (lambda rows: rows.clear(), "there is no figure"),
    ],
)
def test_a_damaged_file_of_figures_is_refused_by_name(change: Any, message: str) -> None:
    raw = copy.deepcopy(tomllib.loads(FILE.read_text(encoding="utf-8")))
    change(raw["published"])
    with pytest.raises(InputError) as error:
        parse_published(raw, "gpus.toml")
    assert message in error.value.message


def test_simulated_figures_are_those_of_the_bench() -> None:
    text = (DOCS / "bench.md").read_text(encoding="utf-8")

    def table(name: str) -> list[list[str]]:
        (body,) = re.findall(f"<!-- bench {name} -->\n(.*?)<!-- end {name} -->", text, re.S)
        return [[cell.strip() for cell in line.strip("|").split("|")] for line in body.splitlines() if line.startswith("| ")][2:]

    by_nodes = {number(row[0]): number(row[1]) for row in table("scaling") if row[1] != "-"}
    by_tokens = {number(row[0]): number(row[1]) for row in table("tokens")}
    figures = {row[0]: row[2] for row in table("figures")}
    twelve = number(figures["twelve encoders of BERT-base size, 128 tokens, 36 nodes"])
    minilm = number(figures["all-MiniLM-L6-v2 whole, six encoders, 32 tokens, six nodes"])
    every = number(next(value for what, value in figures.items() if what.startswith("interval between back-to-back")))
    seen = 0
    for run in load_simulated().run:
        if run.source == "docs/schedule.md":  # 72 nodes
            record = read_record()["ibert_base_12x6"][str(run.tokens)]
            assert (run.nodes, run.clusters, run.cycles) == (72, 12, record.last_row)
            continue
        one = by_nodes[run.nodes] if run.tokens == 128 and run.encoders == 1 else by_tokens[run.tokens]
        assert run.cycles == {1: one, 6: minilm, 12: twelve}[run.encoders], run
        assert run.interval in (None, every)
        seen += 1
    assert seen >= 6


def test_efficiencies_of_engines_follow_from_what_their_source_says() -> None:
    by = {each.mac8: each for each in load_engines()}
    assert by[128].share == round(77.01 / 128, 2) and "77.01 of 128" in by[128].why
    assert by[256].share == 0.85 and "85 %" in by[256].why
    assert all(each.source.count("arXiv") == 1 for each in by.values())


@pytest.mark.parametrize(
    ("loader", "file", "text", "message"),
    [
        (load_simulated, SIMULATED, "cycles = 102163", "run.0.cycles: Field required"),
        (load_engines, ENGINES, 'source = "MaxEVA, arXiv 2311.04980, abstract"', "efficiency.0.source: Field required"),
    ],
)
def test_a_damaged_data_file_is_refused_by_name(loader: Any, file: Path, text: str, message: str, tmp_path: Path) -> None:
    content = file.read_text(encoding="utf-8")
    assert text in content
    (tmp_path / "x.toml").write_text(content.replace(text, "", 1))
    with pytest.raises(InputError, match=message):
        loader(tmp_path / "x.toml")
    with pytest.raises(InputError, match="cannot be read"):
        loader(tmp_path / "none.toml")


# ------------------------------------------------------------------ layouts


@pytest.mark.parametrize("layout", [Layout(12, 1, 1, 1, 12, 64, 64), Layout(6, 2, 2, 1, 6, 64, 48), Layout(12, 1, 1, 4, 3, 64, 16)])
def test_words_are_those_of_the_plan(layout: Layout, chooser: Chooser) -> None:
    plan = chooser.plan(layout)
    node = plan.nodes[0]
    first = min(context.encoder for context in node.contexts)
    found = {c.name: array_words(plan, c) for c in node.contexts if c.kernel == "linear" and c.encoder == first}
    assert words(BERT, layout) == found
    encoders = BERT.encoders // layout.teams
    assert plan.mac_bound(128) == encoders * bounds(BERT, layout, 128, 2, AT_200).array


def test_the_bounds_are_within_a_twentieth_of_every_simulated_cluster_of_128_tokens() -> None:
    checked = 0
    for run in load_simulated().run:
        layout = Layout(run.nodes, 1, run.clusters, run.groups // run.clusters, run.nodes // run.groups, 64, 48)
        if run.tokens == 128:
            told = latency(replace(BERT, encoders=run.encoders), layout, run.tokens, 2, AT_200)
            assert abs(told - run.cycles) < run.cycles / 20, run
            checked += 1
    assert checked >= 6


def test_a_nodes_bytes_are_those_counted_in_the_simulated_cluster() -> None:
    text = (DOCS / "bench.md").read_text(encoding="utf-8")
    sent = [number(value) for value in re.findall(r"\| node\d \| [\d,]+ \| ([\d,]+) \|", text)]
    share = [float(value) for value in re.findall(r"\| node\d \| [\d,]+ \| [\d,]+ \| ([\d.]+) %", text)]
    assert len(sent) == 6
    line = line_bytes(BERT, Layout(6, 1, 1, 1, 6, 64, 48), 128, 1)
    assert abs(line / (52_510 * AT_200.line) - max(share) / 100) < 0.01  # of the line, framing included
    assert line > max(sent)


def test_every_chosen_layout_fits_and_more_devices_are_never_slower(chooser: Chooser) -> None:
    for name in ("sidewinder", "u250", "vpk180"):
        target = targets()[name]
        before = None
        for count in (12, 24, 36, 48):
            try:
                layout, plan, found = chooser.best(target.device, target.ports, count)
            except Misfit:
                assert before is None, "what fits fewer devices fits more"
                continue
            assert layout.devices <= count and layout.k * layout.devices >= layout.nodes == len(plan.nodes)
            assert all(value <= LIMITS[each] for each, value in found.items())
            assert found == shares(target.device, needs_of(plan.shape), layout.k)
            cycles = chooser.latency(layout, target.ports)
            assert before is None or cycles <= before * 1.02
            before = cycles
        assert before is not None


def test_nodes_that_share_a_port_wait_for_the_line() -> None:
    layout = Layout(6, 2, 1, 1, 12, 64, 64)  # two nodes of the group on each device
    assert layout.shared == 2
    one, two = bounds(BERT, layout, 128, 1, AT_200), bounds(BERT, layout, 128, 2, AT_200)
    assert abs(one.line - 2 * two.line) <= 1 and one.limit == "line" and two.limit == "array"
    alone = bounds(BERT, replace(layout, devices=12, k=1), 128, 1, AT_200)
    assert two.line < alone.line, "what goes to the neighbour on the same device stays there"


def test_a_figure_that_is_unknown_is_named_with_its_place(chooser: Chooser) -> None:
    with pytest.raises(InputError) as error:
        chooser.best(device("xcku15p"), 2, 36)
    assert not isinstance(error.value, Misfit)
    assert "dsp of xcku15p is unknown" in error.value.message
    assert "[xcku15p] of python/floreana/boards/devices.toml" in error.value.message


def test_what_does_not_fit_says_what_is_missing(chooser: Chooser) -> None:
    with pytest.raises(Misfit, match=r"nearest .* ramb36 \d+ % of 90 %"):
        chooser.best(device("xczu19eg"), 2, 6)


# ------------------------------------------------------------------ timing


def test_a_chain_is_put_together_as_the_whole_would_take(tmp_path: Path) -> None:
    project = load_project(find_project("tiny_2"))
    project = project.model_copy(update={"model": project.model.model_copy(update={"encoders": 8})})
    chooser = Chooser(project, 8, AT_200)
    told: list[str] = []
    timer = Timer(chooser, tmp_path / "s.json", told.append)
    for layout in (Layout(2, 1, 1, 1, 2, 64, 16), Layout(4, 1, 1, 2, 2, 64, 16), Layout(4, 1, 2, 1, 2, 64, 16)):
        found, _ = timer.latency(layout, 2)
        whole = schedule(chooser.plan(layout), 8, link_delay=AT_200.delay).cycles
        assert abs(found - whole) < whole / 50, (layout, found, whole)
    count = len(told)
    assert count == 4  # 3 and 2 encoders, 2 on two groups, 2 on two clusters
    again = Timer(chooser, tmp_path / "s.json", told.append)
    assert again.latency(Layout(2, 1, 1, 1, 2, 64, 16), 2)[0] == timer.latency(Layout(2, 1, 1, 1, 2, 64, 16), 2)[0]
    assert len(told) == count, "what is kept is not computed again"


def test_what_the_line_takes_more_is_added(tmp_path: Path, chooser: Chooser) -> None:
    def run(plan: Plan, tokens: int, delay: int) -> int:
        return 1000 * plan.encoders

    timer = Timer(chooser, tmp_path / "s.json", lambda text: None, run)
    wide = Layout(12, 1, 1, 1, 12, 64, 64)
    assert timer.latency(wide, 1)[0] == 12_000
    shared = replace(wide, devices=6, k=2)
    found, each = timer.latency(shared, 1)
    assert found == 12_000 + 12 * (each.line - each.attention) > 12_000


# ------------------------------------------------------------------ AI engines


def test_engines_take_their_budget_and_weights_fill_memories_in_order() -> None:
    vck190 = device("xcvc1902")
    found = engines_estimate(BERT, vck190, 12, 128, 1.1e-6, load_engines(), 1.0)
    assert "100% of the peak, given (AIE_EFFICIENCY)" in found.assumption
    half = engines_estimate(BERT, vck190, 12, 128, 1.1e-6, load_engines(), 0.5)
    assert half.latency > found.latency
    one = Model(768, 12, 3072, 1)
    alone = engines_estimate(one, vck190, 1, 128, 1.1e-6, load_engines(), 0.5)
    assert alone.interval == pytest.approx(one.macs(128) / (400 * 128 * 1.25e9 * 0.5))
    assert alone.latency == pytest.approx(alone.interval + 2 * 1.1e-6)
    assert memory_shares(vck190, 4096 * 96.7) == {"ramb36": 0.1}
    assert set(memory_shares(vck190, 10e6)) == {"ramb36", "uram"}
    with pytest.raises(Misfit, match="does not fit"):
        engines_estimate(BERT, vck190, 1, 128, 1.1e-6, load_engines(), None)


def test_engines_of_which_something_is_unknown_are_refused() -> None:
    with pytest.raises(InputError, match="uram of xcve2802 is unknown"):
        engines_estimate(BERT, device("xcve2802").model_copy(update={"uram": None}), 4, 128, 1.1e-6, load_engines(), None)
    with pytest.raises(InputError, match="aie_mac8 of xcvp1802 is unknown"):
        efficiency_of(device("xcvp1802"), load_engines(), None)
    with pytest.raises(InputError, match="no efficiency is known of AI engines with 512"):
        efficiency_of(device("xcvc1902").model_copy(update={"aie_mac8": 512}), load_engines(), None)


# ------------------------------------------------------------------ the command


def test_numbers_of_devices() -> None:
    assert counts_of("6, 1-3,2") == (1, 2, 3, 6)
    assert counts_of(None)[0] == 1 and counts_of(None)[-1] == 72
    for text in ("0", "73", "5-3", "x", "", "1,,2", "-4"):
        with pytest.raises(InputError, match="is no number from 1 to 72"):
            counts_of(text)


def test_all_bad_options_are_told_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    bad = ["--devices", "99", "--only", "u250,u999", "--clock", "0", "--aie-efficiency", "2", "--tokens", "513"]
    assert main(["estimate", *bad]) == 2
    told = capsys.readouterr().err
    for text in ("DEVICES=99", "u999 is not known; choose", "CLOCK=0", "AIE_EFFICIENCY=2", "TOKENS=513"):
        assert text in told
    assert main(["estimate", "--project", "nothing"]) == 2
    assert "project 'nothing' is unknown" in capsys.readouterr().err


BASELINE = {
    "format": 1,
    "device": "Test CPU",
    "type": "cpu",
    "threads": 4,
    "torch": "2.13.0",
    "model": "m",
    "sizes": {"batch": 1},
    "rows": [
        {"tokens": 128, "dtype": "fp32", "mode": "eager", "runs": 9}
        | {"median_ms": 50.0, "q1_ms": 49.0, "q3_ms": 52.0, "min_ms": 48.0, "max_ms": 60.0}
    ],
}


def test_other_systems_stand_with_kind_and_source_and_beside_bert_base_alone(tmp_path: Path) -> None:
    (tmp_path / "gpu_baseline").mkdir()
    (tmp_path / "gpu_baseline" / "test_cpu.json").write_text(json.dumps(BASELINE))
    found = systems(BERT, 128, tmp_path)
    assert {each["kind"] for each in found} == {"published", "measured"} and all(each["source"] for each in found)
    (mine,) = (each for each in found if each["kind"] == "measured")
    assert (mine["system"], mine["latency_ms"], mine["dtype"]) == ("Test CPU, 4 threads, PyTorch 2.13.0", 50.0, "FP32")
    assert [each["system"] for each in systems(BERT, 64, tmp_path)] == ["A100 40 GB, AITemplate"]
    assert systems(replace(BERT, encoders=1), 128, tmp_path) == []
    (tmp_path / "gpu_baseline" / "bad.json").write_text("{}")
    with pytest.raises(InputError, match=r"bad\.json: no result of `make gpu-baseline`"):
        systems(BERT, 128, tmp_path)


def test_neighbours_that_say_the_same_are_one_line() -> None:
    rows = [{"devices": n, "refused": None, "layout": "a" if n < 3 else "b"} for n in (1, 2, 3, 4, 6)]
    assert [(count, row["layout"]) for count, row in merged(rows)] == [("1 to 2", "a"), ("3 to 6", "b")]
    rows = [{"devices": n, "fits": False, "refused": f"by {n}"} for n in (1, 2)]
    assert [count for count, _ in merged(rows)] == ["1 to 2"]


def test_the_whole_command_on_a_small_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(tmp_path), "--project", "tiny_2", "--tokens", "4", "--devices", "1-2,72"]
    assert main(["estimate", "--only", "sidewinder,fb2cg,vck190,vck190_aie", *out]) == 0
    said = capsys.readouterr().out
    assert "200 MHz assumed, not reached" in said and "refused, see below" in said
    assert "dsp of xcku15p is unknown" in said and "of the peak: AIE" in said
    content = json.loads((tmp_path / "estimate" / "estimate.json").read_text())
    assert len(content["estimates"]) == 12 and content["systems"] == [] == content["simulated"]
    for row in content["estimates"]:
        assert row["kind"] == "modelled"
        if row["target"] == "fb2cg":
            assert row["refused"] and row["latency_ms"] is None and row["fits"] is True
        else:
            assert row["latency_ms"] > 0 and row["sequences_s"] > 0
    chosen = next(row for row in content["estimates"] if row["target"] == "sidewinder" and row["devices"] == 2)
    assert chosen["latency_ms"] == pytest.approx(1e3 * chosen["cycles"] / 200e6, abs=1e-4)
    plot = (tmp_path / "estimate" / "estimate.svg").read_bytes()
    assert draw(content, tmp_path / "again.svg").read_bytes() == plot
    assert main(["estimate", "--only", "sidewinder", "--clock", "100", *out]) == 0
    slower = json.loads((tmp_path / "estimate" / "estimate.json").read_text())
    assert slower["clock_mhz"] == 100 and slower["estimates"][0]["latency_ms"] > chosen["latency_ms"]


def test_tables_go_between_their_marks(tmp_path: Path, chooser: Chooser) -> None:
    options = EstimateOptions(only="fb2cg,vck190_aie", devices="1-12")
    content = program.estimate(options, lambda text: None)
    assert [row["cycles"] for row in content["simulated"]] == [325_088, 499_569]
    assert "simulated, docs/bench.md" in estimate_grid(content).markdown()
    path = tmp_path / "x.md"
    marks = "a\n<!-- estimate devices -->\nold\n<!-- end devices -->\nb\n<!-- estimate systems -->\n<!-- end systems -->\nc\n"
    path.write_text(marks)
    record(path, content)
    text = path.read_text()
    assert "old" not in text and "plots/estimate.svg" in text and text.startswith("a\n") and text.endswith("c\n")
    assert f"- {refusals(content)[0]}\n" in text and len(grids(content)) == 2
    assert any("assumed at every figure of ours" in line for line in notes(content))
    record(path, content)
    assert path.read_text() == text
    path.write_text(marks.replace("<!-- end devices -->\n", ""))
    with pytest.raises(InputError, match="must hold <!-- estimate devices -->"):
        record(path, content)
