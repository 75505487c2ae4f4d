# SPDX-License-Identifier: Apache-2.0
"""`make bench` and `make bench-check`: figures, verdicts, records, tables, plots; and the check itself, on tiny_2."""

from __future__ import annotations

import copy
import json
import tomllib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from floreana.cli import main
from floreana.cluster.description import find_project, load_project
from floreana.cluster.plan import make_plan
from floreana.environment import project_root
from floreana.errors import DiffersError, InputError
from floreana.report import bench, bench_check, bench_mapper, bench_runs, bench_tables
from floreana.report.bench_check import Comparison
from floreana.report.bench_data import DATA, load_data, parse_data
from floreana.report.bench_plots import write_plots
from floreana.report.bench_runs import Case, Runner
from floreana.report.load import array_shares, counters, kernel_counters, port_loads
from floreana.sim.capture import Record
from floreana.sim.flow import Hooks, Options
from floreana.sim.speed import Speed

BUILDS = project_root() / "build" / "test_sim"  # shared with the other tests of whole clusters


class Quiet:
    """A teller that only remembers."""

    def __init__(self) -> None:
        self.stages: list[str] = []

    def stage(self, text: str) -> None:
        self.stages.append(text)

    def built(self, simulator: Any) -> None: ...
    def progress(self, line: dict[str, Any], sentences: int, rows: int) -> None: ...
    def sentence(self, number: int, report: Any, plan: Any) -> None: ...
    def summary(self, content: dict[str, Any], analysis: Any, outcome: Any, folder: Path) -> None: ...


# ----------------------------------------------------------------------------------------------------------- figures and peers


def test_every_figure_to_reach_has_a_run_and_every_peer_a_kind_and_a_source() -> None:
    data = load_data()
    assert {target.name for target in data.targets} == set(bench.CASES)
    assert all(peer.kind in ("published", "model", "measured") and peer.source and peer.shown for peer in data.peers)
    reach = {target.name: target.reach for target in data.targets}
    assert (reach["base_128"], reach["base_32"], reach["base_1"], reach["interval"]) == (53_000, 15_000, 2_900, 51_000)
    assert (reach["array_busy"], reach["minilm_32"], reach["base_12_encoders"], reach["speed"]) == (0.92, 29_000, 400_000, 1 / 8)
    assert data.peer("six_12").cycles == 201_094 + 11 * 103_558


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda raw: raw["peer"][0].pop("source"), "peer six_1: source is missing"),
        (lambda raw: raw["peer"][0].update(kind="guessed"), "peer six_1: kind = 'guessed'; choose published, model, measured"),
        (lambda raw: raw["peer"][0].pop("cycles"), "peer six_1: neither figure nor cycles"),
        (lambda raw: raw["peer"].append(raw["peer"][0]), "peer 'six_1' stands there 2 times"),
        (lambda raw: raw["target"][0].update(peer="nobody"), "target base_128: there is no peer 'nobody'"),
        (lambda raw: raw["target"][0].update(reach=0), "target base_128: reach = 0, a positive number is needed"),
        (lambda raw: raw["target"][0].update(reach=True), "target base_128: reach = True"),
        (lambda raw: raw["target"][0].update(sense="best"), "target base_128: sense = 'best'; choose most, least"),
        (lambda raw: raw["target"][0].update(colour="red"), "target base_128: colour is not known"),
        (lambda raw: raw.update(target=[]), "there is no target"),
        (lambda raw: raw.update(more={}), "[more] is not known"),
    ],
)
def test_a_damaged_data_file_is_refused_by_name(change: Any, message: str) -> None:
    raw = copy.deepcopy(tomllib.loads(DATA.read_text(encoding="utf-8")))
    change(raw)
    with pytest.raises(InputError) as error:
        parse_data(raw, "bench.toml")
    assert message in error.value.message


def test_all_errors_of_a_data_file_are_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"3 error\(s\)"):
        parse_data({"more": {}, "target": [], "peer": [{"id": "a", "system": "b", "kind": "model", "source": "c"}]}, "x")
    with pytest.raises(InputError, match="cannot be read"):
        load_data(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("target = [")
    with pytest.raises(InputError, match="is not TOML"):
        load_data(tmp_path / "bad.toml")


def test_verdicts() -> None:
    target = {t.name: t for t in load_data().targets}
    assert target["base_128"].verdict(53_000) == "reached"
    assert target["base_128"].verdict(53_530) == "missed by 530 (1.0 %)"
    assert target["array_busy"].verdict(0.92) == "reached"
    assert target["array_busy"].verdict(0.90) == "missed by 2.0 %"
    assert target["speed"].verdict(0.1) == "missed by 0.025 (20.0 %)"
    assert (target["base_128"].shown, target["array_busy"].shown, target["speed"].shown) == (
        "53,000 or fewer",
        "92.0 % or more",
        "0.125 or more",
    )


def test_an_interval_is_the_time_a_sequence_takes_in_a_row_of_them() -> None:
    sentences = [{"start": 10 + 45 * k, "end": end} for k, end in enumerate((90, 150, 200, 262, 310))]
    assert bench.completions(sentences) == [60, 50, 62, 48]
    assert bench.interval(sentences) == (310 - 10) / 5
    assert bench.interval(list(reversed(sentences))) == bench.interval(sentences)
    with pytest.raises(InputError, match="at least 4 sequences"):
        bench.interval(sentences[:3])


# --------------------------------------------------------------------------------------------------------------- load of a run


def test_array_shares_are_of_the_span() -> None:
    words = {"linear.busy": 600, "linear.idle_row": 5000, "linear.idle_output": 100, "linear.rows_out": 3, "attention.busy": 9, "node": 1}
    kernels = kernel_counters(words)
    assert kernels == {"linear": {"busy": 600, "idle_row": 5000, "idle_output": 100}, "attention": {"busy": 9}, "add_norm": {}}
    assert array_shares(kernels["linear"], 1000) == {"busy": 0.6, "idle_row": 0.3, "idle_output": 0.1}
    # one more cause, one day: counted like the output, the rest stays "no row"
    more = {**kernels["linear"], "idle_switch": 50}
    assert array_shares(more, 1000) == {"busy": 0.6, "idle_row": 0.25, "idle_output": 0.1, "idle_switch": 0.05}
    assert array_shares(kernels["linear"], 5701) is None, "counted less than the span: the node restarted"
    assert array_shares(kernels["linear"], 699) is None
    assert array_shares({}, 1000) is None
    assert counters({"node0": words}, 1000)["node0"]["array"]["busy"] == 0.6
    assert counters({}, 1000) == {}


def test_load_of_a_port() -> None:
    records = [
        Record(9, 0, True, bytes(64)),  # before the span
        Record(10, 0, True, bytes(64)),
        Record(20, 0, True, bytes(1088)),
        Record(240, 1, False, bytes(1088)),
        Record(260, 1, False, bytes(64)),
        Record(261, 1, False, bytes(64)),  # after it
    ]
    first, second = port_loads(["node0", "host"], records, 10, 260)
    assert (first.sent_frames, first.sent_bytes, first.received_bytes) == (2, 1152, 0)
    assert (second.received_frames, second.received_bytes, second.sent_share) == (2, 1152, 0)
    assert first.sent_share == (1152 + 48) / (62.5 * 250) == second.received_share


def _shape(words: int) -> dict[str, int]:
    """A node of ibert_base_6 with so many words of weights."""
    return {**make_plan(load_project(find_project("ibert_base_6"))).shape, "W_WORDS": words}


def test_what_does_not_fit_the_part_is_marked() -> None:
    assert bench.misfits(_shape(448)) == []
    (text,) = bench.misfits(_shape(1152))
    assert text.endswith(" RAMB36, 984 exist") and float(text.partition(" ")[0].replace(",", "")) > 1026  # the weights alone
    assert bench.misfits({**_shape(448), "POST_LANES": 64})[0].endswith(" DSP48E2, 1,968 exist")


def test_scaling_is_against_one_array_that_is_always_busy() -> None:
    shape = _shape(448)
    record = {"content": {"cycles": 60_000}, "mac_bound": 49_664, "shape": shape}
    row = bench.scaling_row(6, 128, record, 2304.0)
    assert (row["speedup"], row["efficiency"], row["misfits"]) == (4.915, 0.8192, [])
    none = bench.scaling_row(1, 128, None, 2304.0)
    assert none["cycles"] is None and none["misfits"] == []


# ------------------------------------------------------------------------------------------------------------------------- runs


def _content(cycles: int, sentences: int = 1) -> dict[str, Any]:
    linear = {"busy": cycles // 2, "idle_row": cycles, "idle_output": 0}
    kernels = {"linear": linear, "attention": {"busy": cycles // 4}, "add_norm": {"busy": 5}, "array": array_shares(linear, cycles)}
    port = {"sent_frames": 1, "sent_bytes": 64, "sent_share": 0.25, "received_frames": 1, "received_bytes": 64, "received_share": 0.5}
    return {
        "bit_exact": True,
        "sentences": [{"start": 100 * k, "end": 100 * k + 100} for k in range(sentences)],
        "tokens": 3,
        "cycles": cycles,
        "cycles_to_last_add_norm": cycles - 220,
        "wire_bytes_per_token": 640.0,
        "ports": [{"port": name, **port} for name in ("node0", "node1", "host")],
        "counters": {"node0": kernels, "node1": kernels},
    }


class _Simulate:
    """In place of a simulation: 100 cycles a token."""

    def __init__(self) -> None:
        self.seen: list[Options] = []

    def __call__(self, options: Options, teller: Any, version: str, hooks: Hooks | None) -> Any:
        self.seen.append(options)
        counts = [int(part) for part in (options.tokens or "32").split(",")]
        if counts == [13]:
            raise DiffersError("first difference: somewhere\nmore")
        return SimpleNamespace(content=_content(1000 + 100 * sum(counts), len(counts)), plan=None, folder=Path("no capture"))


def _runner(tmp_path: Path, fake: _Simulate, **more: Any) -> Runner:
    return Runner(tmp_path, Quiet(), "test", simulate=fake, **more)


def test_a_run_is_kept_and_found_again(tmp_path: Path) -> None:
    fake = _Simulate()
    runner = _runner(tmp_path, fake)
    record = runner.run(Case("tiny_2", "3"))
    assert runner.run(Case("tiny_2", "3")) is record and len(fake.seen) == 1
    assert (fake.seen[0].link_delay, fake.seen[0].out) == (220, tmp_path / "bench" / "work")
    again = _runner(tmp_path, fake).run(Case("tiny_2", "3"))
    assert again == record and len(fake.seen) == 1
    _runner(tmp_path, fake).run(Case("tiny_2", "3", in_flight=2))
    _runner(tmp_path, fake).run(Case("tiny_2", "4"))
    assert len(fake.seen) == 3
    _runner(tmp_path, fake, again=True).run(Case("tiny_2", "3"))
    assert len(fake.seen) == 4
    for path in (tmp_path / "bench" / "runs").iterdir():  # half a record is none
        path.write_text('{"case"')
    _runner(tmp_path, fake).run(Case("tiny_2", "3"))
    assert len(fake.seen) == 5


def test_changed_rtl_is_another_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = _Simulate()
    runner = _runner(tmp_path, fake)
    case = Case("tiny_2", "3")
    key = runner.key(case, runner.plan(case))
    assert key == runner.key(case, runner.plan(case))
    assert key != runner.key(replace(case, nodes=1), runner.plan(replace(case, nodes=1)))
    plain = bench_runs.sources_of
    monkeypatch.setattr(
        bench_runs, "sources_of", lambda *a: {name: text + b" " * (name == "ibert_linear") for name, text in plain(*a).items()}
    )
    assert key != runner.key(case, runner.plan(case))


def test_a_run_that_differs_is_told_and_not_kept(tmp_path: Path) -> None:
    fake = _Simulate()
    runner = _runner(tmp_path, fake)
    for _ in range(2):
        with pytest.raises(DiffersError, match="first difference"):
            runner.run(Case("tiny_2", "13"))
    assert len(fake.seen) == 1 and not (tmp_path / "bench" / "runs").exists()


def test_a_run_that_is_equal_but_not_clean_keeps_its_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unclean(options: Options, *_: Any) -> Any:
        folder = tmp_path / "bench" / "work" / "tiny_2"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "result.json").write_text(json.dumps(_content(1300)))
        raise DiffersError("nothing was to go wrong in this run, and yet: 3 frame(s) sent again; capture: /x; log: /y")

    _small(monkeypatch)
    runner = Runner(tmp_path, Quiet(), "test", simulate=unclean)
    (entry,) = bench.measure_figures(runner, load_data(), ["base_128"])
    assert (entry["measured"], entry["reached"], entry["verdict"]) == (1300, False, "reached; NOT CLEAN: 3 frame(s) sent again")
    assert runner.unclean == {Case("tiny_2", "3"): "3 frame(s) sent again"}
    again = Runner(tmp_path, Quiet(), "test", simulate=_Simulate())
    assert again.run(Case("tiny_2", "3"))["unclean"] == "3 frame(s) sent again" and again.unclean
    monkeypatch.setattr(bench_check, "CASES", {"x": Case("tiny_2", "3")})
    with pytest.raises(DiffersError, match="x: nothing was to go wrong in this run, and yet: 3 frame"):
        bench_check.measure(again)


def _small(monkeypatch: pytest.MonkeyPatch, **cases: Case) -> None:
    tiny = {name: Case("tiny_2", "3") for name in bench.CASES}
    monkeypatch.setattr(bench, "CASES", {**tiny, **cases})


def test_figures_are_reached_missed_skipped_or_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    speed = Speed("tiny_2", 2, 1000, 1.0, 4000, 1.0, 0.1)
    _small(
        monkeypatch,
        base_1=Case("tiny_2", "20"),
        base_32=Case("tiny_2", "13"),
        base_12_encoders=Case("not_there", "3"),
        interval=Case("tiny_2", "3,3,3,3,3", in_flight=2),
        speed=Case("tiny_2", "3", speed=True),
    )
    runner = _runner(tmp_path, _Simulate(), speed=lambda *_: speed)
    found = {e["name"]: e for e in bench.measure_figures(runner, load_data(), list(bench.CASES))}
    assert (found["base_128"]["measured"], found["base_128"]["verdict"], found["base_128"]["to_last_add_norm"]) == (1300, "reached", 1080)
    assert found["base_1"]["verdict"] == "missed by 100 (3.4 %)" and found["base_1"]["reached"] is False
    assert found["base_32"]["verdict"] == "DIFFERS: first difference: somewhere" and found["base_32"]["reached"] is False
    assert found["base_12_encoders"]["verdict"] == "skipped: there is no project not_there"
    assert found["base_12_encoders"]["reached"] is None
    assert (found["interval"]["measured"], found["interval"]["to_last_add_norm"]) == (100, None)
    assert (found["array_busy"]["measured"], found["array_busy"]["reached"]) == (0.5, False)
    assert (found["speed"]["measured"], found["speed"]["reached"]) == (0.25, True)


def test_only_chooses(tmp_path: Path) -> None:
    data = load_data()
    names = tuple(target.name for target in data.targets)
    assert bench.chosen(None, data) == (bench.PARTS, names)
    assert bench.chosen("figures", data) == (("figures",), names)
    assert bench.chosen("base_32, tokens", data) == (("figures", "tokens"), ("base_32",))
    with pytest.raises(InputError, match="ONLY=base_7: base_7 cannot be measured; choose figures, tokens, scaling, wire, mapper, base_128"):
        bench.chosen("base_7", data)
    with pytest.raises(InputError, match="nothing"):
        bench.chosen(" ,", data)


def _whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    _small(monkeypatch, interval=Case("tiny_2", "3,3,3,3,3", in_flight=2), base_12_encoders=Case("not_there", "3"))
    monkeypatch.setitem(bench.CASES, "speed", Case("tiny_2", "3", speed=True))
    monkeypatch.setattr(bench_mapper, "CASES", {"one encoder": (6, 1, 1, {"strategy": "tensor", "groups": "auto"})})
    speed = Speed("tiny_2", 2, 1000, 1.0, 4000, 1.0, 0.1)
    runner = _runner(tmp_path, _Simulate(), speed=lambda *_: speed)
    return bench.measure(runner, load_data(), bench.BenchOptions(), "test")


def test_tables_and_plots_of_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = load_data()
    content = json.loads(json.dumps(_whole(tmp_path, monkeypatch)))
    found = {grid.name: grid for grid in bench_tables.grids(content, data)}
    assert list(found) == ["figures", "array", "tokens", "scaling", "ports", "mapper", "systems"]
    assert found["mapper"].rows[0][:7] == ("one encoder", "6", "latency", "tensor, 1 group(s), 64 x 48", "52,577", "52,577", "0.0 %")
    assert found["mapper"].rows[0][7] == "52,513"
    assert found["figures"].head[-1] == "published design (model)"
    assert len(found["figures"].rows) == len(data.targets)
    assert found["figures"].rows[0][2:] == ("1,300", "1,080", "reached, bit-exact", "201,094")
    assert found["tokens"].rows[0] == ("1", "1,100", "880", "550", "275", "550", "640", "5,613")
    assert [row[0] for row in found["scaling"].rows] == ["1", "2", "3", "4", "6", "12"]
    assert found["scaling"].rows[0][-1].startswith("does not fit: 552 URAM288, 128 exist")
    assert found["scaling"].rows[1][-1].startswith("does not fit") and found["scaling"].rows[2][-1] == "fits an XCZU19EG"
    assert {row[1] for row in found["systems"].rows} == {"published", "model"}
    for grid in found.values():
        assert all(len(row) == len(grid.head) for row in grid.rows)
        assert grid.table().row_count == len(grid.rows)
    first = {path.name: path.read_bytes() for path in write_plots(content, data, tmp_path / "one")}
    second = {path.name: path.read_bytes() for path in write_plots(content, data, tmp_path / "two")}
    assert first == second and sorted(first) == ["array.svg", "ports.svg", "scaling.svg", "tokens.svg"]
    assert all(b"<dc:date>" not in text and str(tmp_path).encode() not in text for text in first.values())


def test_tables_go_between_their_marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = load_data()
    content = _whole(tmp_path, monkeypatch)
    path = tmp_path / "bench.md"
    path.write_text((project_root() / "docs" / "bench.md").read_text(encoding="utf-8"), encoding="utf-8")
    bench_tables.record_document(path, content, data)
    once = path.read_text(encoding="utf-8")
    assert "| 1,300 | 1,080 | reached, bit-exact | 201,094 |" in once and once.count("| tokens | cycles |") == 1
    bench_tables.record_document(path, content, data)
    assert path.read_text(encoding="utf-8") == once and "![" not in once
    bench_tables.record_document(path, content, data, {"tokens"})
    assert path.read_text(encoding="utf-8").count("(plots/tokens.svg)") == 1
    bench_tables.record_document(path, content, data)
    assert path.read_text(encoding="utf-8") == once
    path.write_text(once.replace("<!-- end tokens -->", ""), encoding="utf-8")
    with pytest.raises(InputError, match="<!-- bench tokens -->"):
        bench_tables.record_document(path, content, data)


def test_the_command_ends_with_1_where_a_figure_is_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _small(monkeypatch)
    fake = _Simulate()
    monkeypatch.setattr(bench, "Runner", lambda base, teller, *more: Runner(base, teller, *more, simulate=fake))
    assert main(["bench", "--only", "base_128", "--out", str(tmp_path)]) == 0
    assert json.loads((tmp_path / "bench" / "bench.json").read_text())["figures"][0]["measured"] == 1300
    assert main(["bench", "--only", "array_busy", "--out", str(tmp_path)]) == 1
    assert "not reached: array_busy" in capsys.readouterr().out
    assert main(["bench", "--only", "all", "--out", str(tmp_path)]) == 2
    assert "ONLY=all: all cannot be measured" in capsys.readouterr().err


# -------------------------------------------------------------------------------------------------------------------- regression


def test_more_than_two_percent_slower_is_a_regression() -> None:
    def verdict(measured: float) -> tuple[bool, str]:
        item = Comparison("x", 1000, measured)
        return item.slower, item.verdict

    assert verdict(1000) == (False, "as recorded")
    assert verdict(1020) == (False, "2.0 % slower, within 2 %")
    assert verdict(1021) == (True, "SLOWER by 2.1 %, 21 cycles")
    assert verdict(985) == (False, "1.5 % faster, within 2 %")
    assert verdict(979) == (False, "faster by 2.1 %: record it")


def test_the_check_fails_by_name_passes_and_records(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "baseline.toml"
    runner, console = Runner(tmp_path, Quiet(), "test"), Console(width=140)

    def check(a: float, b: float, record: bool = False) -> tuple[int, str]:
        code = bench_check.bench_check(runner, console, record, path, lambda _: {"a": a, "b": b})
        return code, capsys.readouterr().out

    assert check(100, 200.5, record=True)[0] == 0
    assert bench_check.read_baseline(path) == {"a": 100, "b": 200.5}
    assert check(100, 200.5)[0] == 0
    code, out = check(103, 190)
    assert code == 1 and "a: 103 cycles, 100 are recorded: 3.0 % more, 2 % are allowed" in out and "make bench-check RECORD=1" in out
    assert "faster by 5.2 %: record it" in out and "b: 190" not in out
    assert check(103, 190, record=True)[0] == 0 and check(103, 190)[0] == 0


def test_a_record_that_does_not_fit_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"not recorded: b; recorded, but there is no such run: c; record with `make bench-check RECORD=1`"
    ):
        bench_check.compare({"a": 1, "b": 2}, {"a": 1, "c": 2})
    path = tmp_path / "baseline.toml"
    with pytest.raises(InputError, match="cannot be read"):
        bench_check.read_baseline(path)
    for text, message in (
        ("cycles = [", "is not TOML"),
        ("[cycles]\na = -1", "a = -1, a positive number"),
        ("[cycle]\na = 1", r"\[cycle\] is not known"),
        ("cycles = 3", r"\[cycles\] is missing"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=message):
            bench_check.read_baseline(path)


def test_no_small_run_is_slower_than_recorded(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """CI's regression test: what `make bench-check` does."""
    monkeypatch.setenv("FLOREANA_CACHE", str(tmp_path / "cache"))
    runner = Runner(tmp_path, Quiet(), "test", builds=BUILDS)
    code = bench_check.bench_check(runner, Console(width=140))
    out = capsys.readouterr().out
    print(out)
    assert code == 0, out
    content = runner.run(bench_check.CASES["tiny_2, 16 tokens"])["content"]
    assert 220 <= content["cycles"] - content["cycles_to_last_add_norm"] <= 260  # a crossing, and its place in the host's line
    plan = runner.plan(Case("tiny_2", "16"))
    for kernels in content["counters"].values():
        assert kernels["linear"]["busy"] == plan.mac_bound(16), "the array is busy for its words, and for no cycle more"
        assert abs(sum(kernels["array"].values()) - 1) < 1e-5
    sent = sum(port["sent_bytes"] for port in content["ports"])
    assert content["wire_bytes_per_token"] == sent / 16 and sent <= content["wire_bytes"]
