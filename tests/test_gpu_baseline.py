# SPDX-License-Identifier: Apache-2.0
"""`make gpu-baseline` without torch: options, timing, statistics, the file, and the whole command with a torch that only looks like one."""

from __future__ import annotations

import json
import stat
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from floreana.baseline import launch, measure
from floreana.baseline.launch import BaselineOptions, read_baseline, request, slug
from floreana.cli import main
from floreana.errors import InputError

# a torch with what is used of it: its encoder takes 0.2 ms a token, so that a time tells whether it was called, and with what
FAKE = """
import time
from contextlib import nullcontext
__version__ = "9.9.9+fake"
float32, float16 = "float32", "float16"
class version: cuda = None
class cuda:
    @staticmethod
    def is_available(): return False
def manual_seed(seed): pass
def get_num_threads(): return threads[0]
threads = [3]
def set_num_threads(count): threads[0] = count
def inference_mode(): return nullcontext()
class Rows:
    def __init__(self, *shape): self.shape = shape
def randn(*shape, device, dtype):
    assert (device, dtype) == ("cpu", "float32")
    return Rows(*shape)
class nn:
    class TransformerEncoderLayer:
        def __init__(self, hidden, heads, ffn, activation, batch_first):
            assert (hidden, heads, ffn, activation, batch_first) == (768, 12, 3072, "gelu", True)
    class TransformerEncoder:
        def __init__(self, layer, count): assert count == 12
        def eval(self): return self
        def to(self, device, dtype): return self
        def __call__(self, rows):
            assert rows.shape[0] == 1 and rows.shape[2] == 768
            end = time.perf_counter() + 2e-4 * rows.shape[1]
            while time.perf_counter() < end: pass
            return rows
"""


@pytest.fixture
def torch_python(tmp_path: Path) -> str:
    """A Python that finds the torch above."""
    (tmp_path / "site" / "torch").mkdir(parents=True)
    (tmp_path / "site" / "torch" / "__init__.py").write_text(FAKE)
    script = tmp_path / "python"
    script.write_text(f'#!/bin/sh\nPYTHONPATH="{tmp_path}/site:$PYTHONPATH" exec "{sys.executable}" "$@"\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return str(script)


def test_quantiles_lie_between_neighbours() -> None:
    assert measure.quantile([4.0], 0.5) == 4.0
    assert [measure.quantile([3.0, 1.0, 2.0, 4.0], share) for share in (0, 0.25, 0.5, 0.75, 1)] == [1.0, 1.75, 2.5, 3.25, 4.0]
    found = measure.statistics([0.004, 0.001, 0.002])
    assert found == {"median_ms": 2.0, "q1_ms": 1.5, "q3_ms": 3.0, "min_ms": 1.0, "max_ms": 4.0}


def test_a_call_is_timed_between_two_settlings_and_the_warm_up_is_not() -> None:
    now, said = [0.0], []

    def clock() -> float:
        said.append("clock")
        return now[0]

    def call() -> None:
        said.append("call")
        now[0] += 5.0

    def settle() -> None:
        said.append("settle")
        now[0] += 1.0

    assert measure.timed(call, settle, 3, 2, clock) == [6.0, 6.0, 6.0]  # the settling behind it is in it, the one before is not
    assert said == ["call"] * 2 + ["settle", "clock", "call", "settle", "clock"] * 3


class FakeCuda:
    """Counts what a CUDA device would be asked for."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.version = SimpleNamespace(cuda="12.9")
        self.__version__ = "2.0"
        self.float32, self.float16 = "float32", "float16"
        stream = SimpleNamespace(wait_stream=lambda other: None)
        self.cuda = SimpleNamespace(
            is_available=lambda: True,
            get_device_name=lambda index: "NVIDIA H200",
            synchronize=lambda: self.calls.append("synchronize"),
            Stream=lambda: stream,
            current_stream=lambda: stream,
            stream=lambda s: nullcontext(),
            CUDAGraph=lambda: SimpleNamespace(replay=lambda: self.calls.append("replay")),
            graph=lambda g: nullcontext(),
        )
        self.nn = SimpleNamespace(TransformerEncoderLayer=lambda *a, **k: None, TransformerEncoder=lambda layer, count: self)

    def manual_seed(self, seed: int) -> None: ...
    def get_num_threads(self) -> int:
        return 1

    def inference_mode(self) -> Any:
        return nullcontext()

    def randn(self, *shape: int, device: str, dtype: str) -> Any:
        return SimpleNamespace(shape=shape, device=device, dtype=dtype)

    def eval(self) -> None: ...
    def to(self, device: str, dtype: str) -> Any:
        self.calls.append(f"to {device} {dtype}")
        return lambda rows: self.calls.append(f"forward {rows.shape[1]} {rows.dtype}")

    def compile(self, module: Any) -> Any:
        self.calls.append("compile")
        return module


ASKED = {"sequences": [1, 8], "runs": 2, "warmup": 1, "device": "auto", "dtypes": [], "modes": ["eager"], "threads": None}


def test_a_gpu_is_measured_in_both_types_each_call_between_synchronizations() -> None:
    torch = FakeCuda()
    content = measure.measure(torch, ASKED, lambda text: None)
    assert [(row["dtype"], row["tokens"]) for row in content["rows"]] == [("fp16", 1), ("fp16", 8), ("fp32", 1), ("fp32", 8)]
    assert (content["type"], content["device"], content["cuda"], content["threads"]) == ("cuda", "NVIDIA H200", "12.9", None)
    one = ["forward 1 float16", *["synchronize", "forward 1 float16", "synchronize"] * 2]
    assert torch.calls[: 1 + len(one)] == ["to cuda float16", *one]


def test_a_graph_is_replayed_and_a_compiled_module_is_compiled() -> None:
    torch = FakeCuda()
    measure.measure(torch, {**ASKED, "modes": ["graph", "compile"], "dtypes": ["fp32"], "sequences": [4]}, lambda text: None)
    assert torch.calls.count("replay") == 3  # a warm-up and two runs
    assert torch.calls.count("compile") == 1


@pytest.mark.parametrize(
    ("change", "message", "code"),
    [
        ({"device": "cuda"}, "sees no CUDA device", 3),
        ({"dtypes": ["fp16"]}, "DTYPE=fp16 is measured on CUDA alone", 2),
        ({"modes": ["graph"]}, "MODE=graph is a CUDA graph", 2),
    ],
)
def test_what_a_cpu_cannot_is_refused(change: dict[str, Any], message: str, code: int) -> None:
    torch = FakeCuda()
    torch.cuda.is_available = lambda: False
    with pytest.raises(measure.Refused, match=message) as error:
        measure.measure(torch, {**ASKED, **change}, lambda text: None)
    assert error.value.code == code


def test_all_bad_options_are_told_at_once() -> None:
    options = BaselineOptions(
        sequences="1,513,x", runs=0, warmup=-1, device="gpu", dtype="int8", mode="fast,eager", threads=0, torch_index="pypi", gpu_python="p"
    )
    with pytest.raises(InputError) as error:
        request(options)
    for text in (
        "'513' is no length",
        "'x' is no length",
        "RUNS=0",
        "WARMUP=-1",
        "DEVICE=gpu",
        "int8",
        "MODE=fast,eager: fast",
        "THREADS=0",
    ):
        assert text in error.value.message
    assert "TORCH_INDEX=pypi is no address" in error.value.message and "give one of the two" in error.value.message
    assert request(BaselineOptions(sequences="8, 1,8"))["sequences"] == [1, 8]


def test_the_whole_command_with_a_torch_that_takes_02_ms_a_token(torch_python: str, tmp_path: Path) -> None:
    out = ["--out", str(tmp_path / "out"), "--gpu-python", torch_python]
    assert main(["gpu-baseline", "--sequences", "5,20", "--runs", "4", "--warmup", "1", "--threads", "2", *out]) == 0
    (path,) = (tmp_path / "out" / "gpu_baseline").glob("*.json")
    content = read_baseline(path)
    assert path.stem == slug(content["device"]) and path.stat().st_mode & 0o777 == 0o644
    assert (content["torch"], content["threads"], content["model"]) == ("9.9.9+fake", 2, "torch.nn.TransformerEncoder, random weights")
    assert content["sizes"] == {"hidden": 768, "heads": 12, "ffn": 3072, "encoders": 12, "batch": 1}
    five, twenty = content["rows"]
    assert (five["tokens"], twenty["tokens"], five["runs"], five["dtype"], five["mode"]) == (5, 20, 4, "fp32", "eager")
    assert five["min_ms"] >= 1.0 and twenty["min_ms"] >= 4.0
    assert launch.read_baselines(tmp_path / "out") == [content]
    assert list(path.parent.iterdir()) == [path]


def test_a_python_without_torch_and_none_at_all(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(tmp_path)]
    assert main(["gpu-baseline", "--gpu-python", sys.executable, *out]) == 3
    assert "has no torch" in capfd.readouterr().err
    assert main(["gpu-baseline", "--gpu-python", "no-such-python", *out]) == 2
    assert "GPU_PYTHON=no-such-python is no program" in capfd.readouterr().err
    assert list((tmp_path / "gpu_baseline").iterdir()) == []


def test_what_torch_refuses_ends_as_bad_input(torch_python: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["gpu-baseline", "--gpu-python", torch_python, "--dtype", "fp16", "--out", str(tmp_path)]) == 2
    assert "DTYPE=fp16 is measured on CUDA alone" in capfd.readouterr().err


GOOD = {
    "min_ms": 1.0,
    "q1_ms": 1.0,
    "median_ms": 2.0,
    "q3_ms": 2.0,
    "max_ms": 3.0,
    "runs": 5,
    "tokens": 128,
    "dtype": "fp32",
    "mode": "eager",
}
FILE = {"format": 1, "device": "CPU", "type": "cpu", "torch": "2", "model": "m", "sizes": {"batch": 1}, "rows": [GOOD]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({**FILE, "format": 2}, "format 2, 1 is known"),
        ({**FILE, "rows": []}, "rows is no list, or empty"),
        ({**FILE, "device": 3}, "device is no str"),
        ({**FILE, "rows": [{**GOOD, "q1_ms": 2.5}]}, "times are out of order at 128 tokens"),
        ({**FILE, "rows": [{**GOOD, "dtype": "int8"}]}, "int8 eager is not known"),
        ({name: value for name, value in FILE.items() if name != "torch"}, "'torch' is missing"),
        ("{", "no result of `make gpu-baseline`"),
    ],
)
def test_a_damaged_file_is_refused_by_name(content: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "gpu_baseline" / "x.json"
    path.parent.mkdir()
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(InputError, match=message):
        launch.read_baselines(tmp_path)
    path.write_text(json.dumps(FILE))
    assert launch.read_baselines(tmp_path) == [FILE]


def test_without_a_driver_torch_for_cpus_is_taken_and_a_named_index_goes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from floreana.peer import environment

    asked: list[str | None] = []

    def ensure(root: Path, index: str | None) -> Path:
        asked.append(index)
        return tmp_path

    monkeypatch.setattr(environment, "ensure", ensure)
    monkeypatch.setattr(launch, "has_nvidia", lambda: False)
    told: list[str] = []
    launch.find_python(BaselineOptions(), told.append)
    launch.find_python(BaselineOptions(torch_index="https://example.org/simple"), told.append)
    monkeypatch.setattr(launch, "has_nvidia", lambda: True)
    launch.find_python(BaselineOptions(), told.append)
    assert asked == [environment.CPU_INDEX, "https://example.org/simple", None]
    assert len(told) == 1 and environment.CPU_INDEX in told[0]
