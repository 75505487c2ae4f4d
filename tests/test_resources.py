# SPDX-License-Identifier: Apache-2.0
"""Resources of a node from its parameters: arithmetic equal to Yosys, formulas as far off as they say, what does not fit is told."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from floreana import cli
from floreana.cluster import resources
from floreana.cluster.description import find_project, load_project
from floreana.cluster.multipliers import dsp_count
from floreana.cluster.plan import make_plan, render
from floreana.cluster.resources import (
    AVAILABLE,
    DATA,
    KERNELS,
    LIMITS,
    TERMS,
    Memory,
    Point,
    Usage,
    check_fit,
    error,
    kernel_usage,
    load,
    memories,
    require_fit,
    total,
    usage,
    worst,
)
from floreana.environment import project_root
from floreana.errors import FloreanaError, InputError
from floreana.project import fit, synth
from floreana.project.fit import BASE, MATRIX
from floreana.project.synth_worker import SYNTH

# whole nodes by `make synth` (docs/resources.md)
NODES = {
    "ibert_base_6": Usage(1765, 495.5, 93, 221_032, 159_603),
    "minilm_6": Usage(1770, 834.5, 79, 217_733, 158_531),
}
HELD_OUT = set(KERNELS)  # kernels with shapes that test their formulas
HELD_OUT_PERCENT = 5.0  # how far those formulas may be off there
NODE_PERCENT = 2.0  # how far LUTs and registers of those nodes may be off


def shape_of(project: str, nodes: int | None = None) -> dict[str, int]:
    return make_plan(load_project(find_project(project), nodes=nodes)).shape


# ------------------------------------------------------------------ against what Yosys measured


@pytest.mark.parametrize("project", sorted(NODES))
def test_whole_nodes(project: str) -> None:
    found, measured = total(usage(shape_of(project))), NODES[project]
    assert (found.dsp, found.ramb36, found.uram) == (measured.dsp, measured.ramb36, measured.uram)
    assert abs(error(measured.lut, found.lut)) < NODE_PERCENT and abs(error(measured.ff, found.ff)) < NODE_PERCENT


def test_slices_and_memories_of_every_point_are_those_of_yosys() -> None:
    data = load()
    assert fit.differing(data) == []
    points = [(formula.kernel, point) for formula in data.formulas.values() for point in formula.points]
    assert {kernel for kernel, point in points if not point.held} == set(KERNELS)
    assert {kernel for kernel, point in points if point.held} >= HELD_OUT
    wrong = replace(points[0][1], usage=replace(points[0][1].usage, ramb36=points[0][1].usage.ramb36 + 0.5))
    formula = data.formulas[points[0][0]]
    broken = replace(data, formulas={**data.formulas, formula.kernel: replace(formula, points=(wrong, *formula.points[1:]))})
    (told,) = fit.differing(broken)
    assert told.startswith(f"{formula.kernel}, {wrong.name}: ") and "ramb36" in told


def test_dsp_slices_of_the_kernels_are_those_of_the_node() -> None:
    for case in MATRIX:
        assert total(usage(case.shape)).dsp == dsp_count(case.shape)


def test_the_data_file_is_what_its_points_give() -> None:
    """Coefficients, errors and text follow from the points; the points are those of MATRIX."""
    data, text = load(), DATA.read_text(encoding="utf-8")
    assert fit.render(data) == text
    measured: dict[str, dict[str, Usage]] = {case.name: {} for case in MATRIX}
    for formula in data.formulas.values():
        for point in formula.points:
            measured[point.name][formula.kernel] = point.usage
    again = fit.fitted(measured)
    for kernel in KERNELS:
        assert again.formulas[kernel].points == data.formulas[kernel].points
        for what in ("lut", "ff"):
            mine, theirs = getattr(again.formulas[kernel], what), getattr(data.formulas[kernel], what)
            assert list(mine) == list(theirs) and all(abs(mine[name] - theirs[name]) <= 1e-3 * abs(theirs[name]) + 0.01 for name in mine)
    stated, documented = tomllib.loads(text), (project_root() / "docs" / "resources.md").read_text(encoding="utf-8")
    assert fit.document(documented, fit.markdown(data)) == documented
    for kernel, found in fit.errors(data).items():
        assert stated[kernel]["error"] == found
        assert all(value <= HELD_OUT_PERCENT for value in found.values())


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_changed_coefficient_is_seen(kernel: str) -> None:
    data = load()
    formula = data.formulas[kernel]
    largest = max(formula.lut, key=lambda name: abs(formula.lut[name] * TERMS[kernel][name](data.shapes[formula.points[0].name])))
    wrong = replace(formula, lut={**formula.lut, largest: formula.lut[largest] * 1.1})
    broken = replace(data, formulas={**data.formulas, kernel: wrong})
    found, before = worst(broken, kernel, "lut", False), worst(data, kernel, "lut", False)
    assert found is not None and before is not None and found > before + 1
    assert fit.errors(broken)[kernel] != fit.errors(data)[kernel]


def test_the_fit_finds_the_coefficients_and_leaves_held_out_points_alone() -> None:
    lanes = {"s0": (16, 16, 1), "s1": (16, 64, 2), "s2": (32, 48, 4), "s3": (64, 32, 8), "s4": (64, 48, 16), "s5": (32, 16, 8)}
    shapes = {name: {**BASE, "K_LANES": k, "OUT_N": n, "POST_LANES": post} for name, (k, n, post) in lanes.items()}
    points = []
    for name, (k, n, post) in lanes.items():
        held = name == "s3"
        memory = sum(each.lut for each in memories(shapes[name]) if each.kernel == "linear")
        lut = 1000 + 30 * k * n + 7 * n + 500 * post + memory + (99_999 if held else 0)
        points.append(Point(name, held, Usage(lut=lut, ff=1)))
    wanted = {"1": 1000, "K_LANES * OUT_N": 30, "OUT_N": 7, "POST_LANES": 500}
    assert fit.solve("linear", "lut", points, shapes) == pytest.approx(wanted, rel=1e-4)
    with pytest.raises(FloreanaError, match="linear: 4 terms need as many points, there are 3"):
        fit.solve("linear", "lut", points[:4], shapes)


# ------------------------------------------------------------------ memories

SIZES = [
    (64, 448, "auto"), (48, 128, "auto"), (84, 384, "auto"), (48, 384, "auto"), (64, 600, "auto"), (80, 2100, "auto"), (7, 2048, "auto"),
    (22, 4096, "auto"), (32, 32, "auto"), (33, 64, "auto"), (20, 65, "auto"), (9, 129, "auto"), (10, 300, "auto"), (48, 256, "auto"),
    (3, 16, "auto"), (78, 1024, "block"), (7, 512, "block"), (7, 64, "block"), (72, 4096, "ultra"), (73, 4097, "ultra"),
    (100, 9000, "ultra"), (60, 64, "distributed"), (33, 16, "distributed"), (12, 256, "distributed"),
]  # fmt: skip

PLACE = """
import json, sys
from pyosys import libyosys as ys
files, synth = json.loads(sys.argv[1])
design = ys.Design()
for command in ["read_verilog -defer " + " ".join(files), "hierarchy -check -top bench", "proc", synth + " -run begin:map_ffram"]:
    ys.run_pass(command, design)
(top,) = design.all_selected_modules()
print("FOUND", json.dumps([[cell.name.str(), cell.type.str()] for cell in top.selected_cells()]))
"""


def test_yosys_places_memories_so(tmp_path: Path) -> None:
    ports = "".join(f", output wire [{width - 1}:0] q{k}" for k, (width, _, _) in enumerate(SIZES))
    text = f"module bench(input wire clk, we, re, input wire [15:0] wa, ra, input wire [99:0] d{ports});\n"
    for k, (width, depth, style) in enumerate(SIZES):
        top = (depth - 1).bit_length() - 1
        text += (
            f'axis_ram #(.DATA_W({width}), .DEPTH({depth}), .STYLE("{style}")) u_{k}_ (.clk(clk), .wr_en(we), .wr_addr(wa[{top}:0]),'
            f" .wr_data(d[{width - 1}:0]), .rd_en(re), .rd_addr(ra[{top}:0]), .rd_data(q{k}));\n"
        )
    bench = tmp_path / "bench.v"
    bench.write_text(text + "endmodule\n", encoding="utf-8")
    job = json.dumps([[str(bench), str(project_root() / "rtl" / "axis" / "axis_ram.v")], SYNTH])
    told = subprocess.run([sys.executable, "-c", PLACE, job], capture_output=True, text=True, check=False, timeout=300)
    assert told.returncode == 0, told.stderr[-2000:]
    (line,) = [line for line in told.stdout.splitlines() if line.startswith("FOUND ")]
    cells: dict[int, Counter[str]] = {k: Counter() for k in range(len(SIZES))}
    for name, kind in json.loads(line.removeprefix("FOUND ")):
        if place := re.match(r"\\?(?:\$flatten\\)?u_(\d+)_", name):
            cells[int(place[1])][kind.removeprefix("\\")] += 1
    for k, (width, depth, style) in enumerate(SIZES):
        found, given = (
            synth.resources({kind: count for kind, count in cells[k].items() if "RAM" in kind}),
            Memory("", "", 1, width, depth, style),
        )
        assert (found["RAMB36"], found["URAM288"]) == (given.ramb36, given.uram), SIZES[k]
        ranks = -(-depth // resources._placed(width, depth, style)[0].words)
        assert found["LUT"] == given.lut - width * -(-(ranks - 1) // 3), SIZES[k]


def test_ranks_of_uram() -> None:
    store = Memory("linear", "row store", 1, 512, 8704, "ultra")
    assert (store.ranks, store.uram_of_ranks, store.uram) == ((8, 3), 24, 22)
    assert Memory("linear", "weights", 48, 512, 448).ranks == (0, 0)


# ------------------------------------------------------------------ against a device


def test_what_fits_says_nothing() -> None:
    for project in NODES:
        assert check_fit(shape_of(project)) == []
        require_fit(shape_of(project))


def test_what_does_not_fit_is_told_with_its_arithmetic() -> None:
    shape = {**BASE, "W_WORDS": 900, "BIAS_WORDS": 100}
    (told,) = check_fit(shape, {"RAMB36": (700, 90)})
    assert told == (
        "RAMB36: 696 linear weights + 43.5 attention Q, K, V + 24 add_norm constants of the norm + 24 add_norm constants of the sum"
        " + 22.5 linear biases + 21.5 add_norm residuals + 12 linear GELU constants + 6 linear row queues + 1 add_norm ready rows"
        " + 1 add_norm records of rows + 1 eth rings + 0.5 attention exponentials + 0.5 attention scores + 0.5 linear row counts"
        " = 854 needed, 630 allowed (90 % of 700); fewer encoders a node, more nodes, or a larger part"
    )
    (told,) = check_fit(shape, {"URAM288": (100, 90)})
    assert "40 switch message cells (5 x 1 ranks of 8) + 24 linear row store (1 x 3 ranks of 8)" in told
    assert told.endswith("= 96 needed, 90 allowed (90 % of 100); fewer tokens or slots, more nodes, or a larger part")
    (told,) = check_fit(shape, {"DSP48E2": (1968, 89)})
    assert told.startswith("DSP48E2: 1,616 linear + 96 add_norm + 53 attention = 1,765 needed, 1,751 allowed (89 % of 1,968); ")
    (told,) = check_fit(shape, {"LUT": (1000, 80)})
    assert "needed, 800 allowed (80 % of 1,000)" in told and "over-estimated" in told
    needed = sum(float(each.replace(",", "")) for each in re.findall(r"(?:^LUT: |\+ )([\d,]+) \w+", told))
    assert needed == total(usage(shape)).lut
    assert len(check_fit({**shape, "OUT_N": 64, "W_WORDS": 1200}, LIMITS)) == 2  # DSP48E2, RAMB36
    with pytest.raises(InputError, match=r"a node does not fit one XCZU3:\n  DSP48E2: .*1,765 needed, 180 allowed") as raised:
        require_fit(shape, {"DSP48E2": (200, 90)}, "XCZU3")
    assert raised.value.exit_code == 2


def test_a_plan_shows_its_resources_and_is_not_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = make_plan(load_project(find_project("minilm_6")))
    assert re.search(r"all\W+1,770\W+834\.5\W+79\W", render(plan))
    assert cli.main(["plan", "--project", "minilm_6", "--nodes", "3", "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "does not fit an XCZU19EG: RAMB36: 1,032 linear weights + " in out and "885 allowed (90 % of 984)" in out


# ------------------------------------------------------------------ the command


def test_a_stale_file_is_a_warning(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    data = load()
    old = replace(data, tool="pyosys 0.1", formulas={**data.formulas, "switch": replace(data.formulas["switch"], rtl="0" * 16)})
    monkeypatch.setattr(resources, "load", lambda *_: old)
    assert cli.main(["resources"]) == 0
    out = capsys.readouterr().out
    assert "warning: switch: measured on other RTL; make resources REFRESH=1" in out
    assert "warning: measured by pyosys 0.1, here is pyosys" in out
    assert "over-counts" in out and out.count(" test ") == sum(point.held for each in data.formulas.values() for point in each.points)


def test_a_refresh_writes_the_file_and_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All but Yosys: the points give the file that is here, and the document's table. A document without its marks stops it first."""
    data = load()

    asked: list[tuple[str, str]] = []

    def measured(case: fit.Case, kernels: Sequence[str], *_: object) -> dict[str, Usage]:
        points = {name: point for name, each in data.formulas.items() for point in each.points if point.name == case.name}
        asked.extend((case.name, kernel) for kernel in kernels)
        return {kernel: points[kernel].usage for kernel in kernels}

    monkeypatch.setattr(fit, "measure", measured)
    monkeypatch.setattr(fit, "rtl_hash", lambda kernel: data.formulas[kernel].rtl)
    monkeypatch.setattr(fit, "tool", lambda: data.tool)
    path, docs = tmp_path / "resources.toml", tmp_path / "resources.md"
    docs.write_text("a\n<!-- errors -->\nold\n<!-- end errors -->\nb\n", encoding="utf-8")
    assert fit.refresh(tmp_path, print, path, docs) == data
    assert path.read_text(encoding="utf-8") == DATA.read_text(encoding="utf-8")
    assert docs.read_text(encoding="utf-8") == f"a\n<!-- errors -->\n{fit.markdown(data)}<!-- end errors -->\nb\n"
    assert asked == [(case.name, kernel) for case in fit.MATRIX for kernel in case.kernels]
    # a second time only what is of other RTL; all, where the tool is another
    asked.clear()
    monkeypatch.setattr(fit, "rtl_hash", lambda kernel: "other" if kernel == "eth" else data.formulas[kernel].rtl)
    assert fit.refresh(tmp_path, print, path, docs).formulas["eth"] == replace(data.formulas["eth"], rtl="other")
    assert asked == [(case.name, "eth") for case in fit.MATRIX if "eth" in case.kernels]
    asked.clear()
    monkeypatch.setattr(fit, "tool", lambda: "another")
    fit.refresh(tmp_path, print, path, docs)
    assert len(asked) == sum(len(case.kernels) for case in fit.MATRIX)
    docs.write_text("a\n<!-- errors -->\n", encoding="utf-8")
    path.unlink()
    with pytest.raises(InputError, match="end errors"):
        fit.refresh(tmp_path, print, path, docs)
    assert not path.exists()


def test_a_difference_is_an_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(fit, "differing", lambda _: ["linear, base: 1 dsp by arithmetic, 2 by Yosys"])
    assert cli.main(["resources"]) == 1 and "1 dsp by arithmetic" in capsys.readouterr().out


def test_the_hash_is_of_what_is_synthesised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = synth.files()
    before = {kernel: fit.rtl_hash(kernel) for kernel in KERNELS}
    copy = tmp_path / "ibert_gelu.v"
    text = known["ibert_gelu"].read_text(encoding="utf-8")
    monkeypatch.setattr(synth, "files", lambda: {**known, "ibert_gelu": copy})
    copy.write_text(f"// another comment\n{text}\n", encoding="utf-8")
    assert {kernel: fit.rtl_hash(kernel) for kernel in KERNELS} == before
    copy.write_text(text.replace("endmodule", "wire more;\nendmodule"), encoding="utf-8")
    assert [kernel for kernel in KERNELS if fit.rtl_hash(kernel) != before[kernel]] == ["linear"]


def test_kernels_and_parameters_are_those_of_node_core() -> None:
    """The elaboration that measures: instances, and parameters as node_core hands them on."""
    case = next(case for case in MATRIX if case.shape["GATEWAY"] and case.shape["ETH_N"] == 1)
    found = fit.children(case)
    assert Counter(fit.kernel_of(each) for each in found) == {**dict.fromkeys(KERNELS, 1), "rest": 3}
    module, parameters = found["u_linear"]
    assert module == "ibert_linear"
    assert {name: value for name, value in parameters if name in BASE} == {
        name: case.shape[name] for name in dict(parameters) if name in BASE
    }


def test_a_broken_file_says_how_to_make_it(tmp_path: Path) -> None:
    path = tmp_path / "resources.toml"
    with pytest.raises(FloreanaError, match="make it again: make resources REFRESH=1"):
        load(path)
    text = DATA.read_text(encoding="utf-8")
    path.write_text(text.replace('"POST_LANES" =', '"POSTS" =', 1), encoding="utf-8")
    with pytest.raises(FloreanaError, match=r"linear: terms .*POSTS.*; the formula has .*POST_LANES"):
        load(path)


def test_a_gateway_that_is_not_there_takes_nothing() -> None:
    assert kernel_usage("gateway", BASE) == Usage() and usage({**BASE, "GATEWAY": 1})["gateway"].uram == 8
    assert list(usage(BASE)) == list(KERNELS) and list(Usage().amounts) == list(AVAILABLE)
