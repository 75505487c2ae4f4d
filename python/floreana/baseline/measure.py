# SPDX-License-Identifier: Apache-2.0
"""Times the encoders of BERT-base, batch 1. Runs under a Python that has torch (and, if it is there, transformers): nothing else is needed.

The twelve encoders alone, as the clusters compute them: rows in, rows out, no embeddings and no pooling. Weights are random, which changes
no time. Each time is one call, from the host: the device is idle before it, and its result is complete at the end; inputs lie on the device
already. What `python -m floreana.baseline.measure` is given is JSON on its command line, checked by :mod:`floreana.baseline.launch`.
"""

from __future__ import annotations

import gc
import importlib
import importlib.util
import json
import platform
import sys
import time
from pathlib import Path
from typing import Any, Callable, Sequence  # noqa: UP035 (a foreign Python may be 3.8)

FORMAT = 1  # of the file
HIDDEN, HEADS, FFN, ENCODERS = 768, 12, 3072, 12
EXIT_BAD, EXIT_LACKS = 2, 3


class Refused(Exception):
    """Something asked for cannot be measured here. ``code``: of the program."""

    def __init__(self, message: str, code: int = EXIT_LACKS) -> None:
        super().__init__(message)
        self.code = code


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which ``share`` of ``values`` lie, between neighbours in proportion."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def statistics(seconds: Sequence[float]) -> dict[str, float]:
    """Median, quartiles and extremes in milliseconds."""
    shares = {"median_ms": 0.5, "q1_ms": 0.25, "q3_ms": 0.75, "min_ms": 0.0, "max_ms": 1.0}
    return {name: round(1e3 * quantile(seconds, share), 4) for name, share in shares.items()}


def timed(
    call: Callable[[], object], settle: Callable[[], None], runs: int, warmup: int, clock: Callable[[], float] = time.perf_counter
) -> list[float]:
    """Seconds of each of ``runs`` calls after ``warmup`` that are not counted. ``settle`` returns when the device is idle."""
    for _ in range(warmup):
        call()
    out = []
    for _ in range(runs):
        settle()
        start = clock()
        call()
        settle()
        out.append(clock() - start)
    return out


def device_name(torch: Any, device: str) -> str:
    """As the driver, or the kernel, calls it."""
    if device == "cuda":
        return str(torch.cuda.get_device_name(0))
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def encoders(torch: Any) -> tuple[Any, str]:
    """(module that turns rows into rows, what it is): transformers' BertModel where it is there, else torch's own."""
    torch.manual_seed(1)
    if importlib.util.find_spec("transformers") is not None:
        transformers: Any = importlib.import_module("transformers")
        config = transformers.BertConfig(hidden_size=HIDDEN, num_attention_heads=HEADS, intermediate_size=FFN, num_hidden_layers=ENCODERS)
        model = transformers.BertModel(config, add_pooling_layer=False)
        return model.encoder, f"encoder of BertModel, transformers {transformers.__version__}"
    layer = torch.nn.TransformerEncoderLayer(HIDDEN, HEADS, FFN, activation="gelu", batch_first=True)
    return torch.nn.TransformerEncoder(layer, ENCODERS), "torch.nn.TransformerEncoder"


def forward(module: Any, rows: Any) -> Any:
    """The last encoder's rows."""
    out = module(rows)
    return out[0] if isinstance(out, tuple) or hasattr(out, "last_hidden_state") else out


def caller(torch: Any, module: Any, rows: Any, mode: str) -> Callable[[], object]:
    """What is timed: eager, compiled, or a captured CUDA graph."""
    if mode == "compile":
        module = torch.compile(module)
    if mode != "graph":
        return lambda: forward(module, rows)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            forward(module, rows)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        forward(module, rows)
    replay: Callable[[], object] = graph.replay
    return replay


def measure(torch: Any, request: dict[str, Any], tell: Callable[[str], None]) -> dict[str, Any]:
    """The content of the file. ``request``: device, dtypes, modes, sequences, runs, warmup, threads; Refused where it cannot be done."""
    there = bool(torch.cuda.is_available())
    if request["device"] == "cuda" and not there:
        raise Refused(
            f"DEVICE=cuda, but torch {torch.__version__} sees no CUDA device; install a driver and a torch with CUDA, or DEVICE=cpu"
        )
    device = ("cuda" if there else "cpu") if request["device"] == "auto" else request["device"]
    dtypes = request["dtypes"] or (["fp16", "fp32"] if device == "cuda" else ["fp32"])
    if device == "cpu" and "fp16" in dtypes:
        raise Refused("DTYPE=fp16 is measured on CUDA alone; choose fp32, or DEVICE=cuda", EXIT_BAD)
    if device == "cpu" and "graph" in request["modes"]:
        raise Refused("MODE=graph is a CUDA graph; choose eager or compile, or DEVICE=cuda", EXIT_BAD)
    if request["threads"]:
        torch.set_num_threads(request["threads"])
    settle = torch.cuda.synchronize if device == "cuda" else lambda: None
    module, what = encoders(torch)
    module.eval()
    content: dict[str, Any] = {
        "format": FORMAT,
        "device": device_name(torch, device),
        "type": device,
        "threads": int(torch.get_num_threads()) if device == "cpu" else None,
        "torch": str(torch.__version__),
        "cuda": str(torch.version.cuda) if device == "cuda" else None,
        "python": platform.python_version(),
        "model": f"{what}, random weights",
        "sizes": {"hidden": HIDDEN, "heads": HEADS, "ffn": FFN, "encoders": ENCODERS, "batch": 1},
        "warmup": request["warmup"],
        "rows": [],
    }
    types = {"fp32": torch.float32, "fp16": torch.float16}
    with torch.inference_mode():
        for dtype in dtypes:
            placed = module.to(device=device, dtype=types[dtype])
            for mode in request["modes"]:
                for tokens in request["sequences"]:
                    rows = torch.randn(1, tokens, HIDDEN, device=device, dtype=types[dtype])
                    seconds = timed(caller(torch, placed, rows, mode), settle, request["runs"], request["warmup"])
                    row = {"tokens": tokens, "dtype": dtype, "mode": mode, "runs": len(seconds), **statistics(seconds)}
                    content["rows"].append(row)
                    tell(f"{dtype} {mode}, {tokens} tokens: {row['median_ms']:.3f} ms ({row['q1_ms']:.3f} to {row['q3_ms']:.3f})")
                    gc.collect()
    return content


def main(argv: Sequence[str]) -> int:
    """``argv``: the request as JSON, and the file to write."""
    request, path = json.loads(argv[0]), Path(argv[1])
    try:
        try:
            torch: Any = importlib.import_module("torch")
        except ImportError as error:
            raise Refused(f"{sys.executable} has no torch ({error}); install it there, or leave GPU_PYTHON out") from error
        content = measure(torch, request, lambda text: print(text, flush=True))
    except Refused as error:
        print(f"floreana: {error}", file=sys.stderr)
        return error.code
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
