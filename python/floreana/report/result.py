# SPDX-License-Identifier: Apache-2.0
"""result.json and outputs.npz of a run. The schema of result.json is docs/result.schema.json, explained in docs/result.md."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from floreana.errors import EnvironmentError_
from floreana.ibert.params import FloatArray
from floreana.report.compare import Analysis, SentenceAnalysis
from floreana.report.load import counters

SCHEMA_VERSION = 2


@dataclass(frozen=True, slots=True)
class SentenceReport:
    """One sentence with what only the host knows about it: no embeddings where there is no float model."""

    text: str
    analysis: SentenceAnalysis
    embedding: FloatArray | None = None
    embedding_fp32: FloatArray | None = None

    @property
    def cosine(self) -> float | None:
        """Cosine to the fp32 model, to nine decimals; both are unit vectors. None without embeddings."""
        if self.embedding is None or self.embedding_fp32 is None:
            return None
        return round(float(self.embedding @ self.embedding_fp32), 9)

    @property
    def bit_exact(self) -> bool:
        return all(self.analysis.equal)


def write_whole(path: Path, write: Callable[[Path], None]) -> None:
    """Let ``write`` make a file under a temporary name in the same folder, then rename it. EnvironmentError_ where the disk refuses."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
    os.close(handle)
    try:
        write(Path(name))
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except OSError as error:
        raise EnvironmentError_(f"{path}: cannot be written: {error.strerror}; free space, or choose another folder with OUT=") from error
    finally:
        Path(name).unlink(missing_ok=True)


def result(
    *,
    version: str,
    project: str,
    nodes: int,
    simulator: str,
    seed: int,
    link_delay: int,
    sentences: Sequence[SentenceReport],
    analysis: Analysis,
    load_cycles: int,
    transport: dict[str, Any],
    words: Mapping[str, Mapping[str, int]],
    timing: dict[str, float],
    vectors: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The content of result.json.

    ``transport`` is what the transport did, ``words`` are every node's at the end, ``vectors`` is the comparison with a recording.
    """
    begin, end = analysis.span
    tokens = sum(s.analysis.tokens for s in sentences)
    cosines = [s.cosine for s in sentences if s.cosine is not None]
    rows = [
        {
            "text": s.text,
            "tokens": s.analysis.tokens,
            "start": s.analysis.start,
            "end": s.analysis.end,
            "cycles": s.analysis.cycles,
            "cycles_to_last_add_norm": s.analysis.cycles_to_last_add_norm,
            "cycles_per_encoder": s.analysis.cycles_per_encoder,
            "bit_exact": s.bit_exact,
            "cosine_fp32": s.cosine,
        }
        for s in sentences
    ]
    return {
        "schema_version": SCHEMA_VERSION,
        "version": version,
        "project": project,
        "nodes": nodes,
        "simulator": simulator,
        "seed": seed,
        "link_delay": link_delay,
        "sentences": rows,
        "tokens": tokens,
        "cycles": sum(s.analysis.cycles for s in sentences),
        "cycles_to_last_add_norm": sum(s.analysis.cycles_to_last_add_norm for s in sentences),
        "span_cycles": end - begin,
        "cycles_per_encoder": sentences[0].analysis.cycles_per_encoder,
        "bit_exact": all(s.bit_exact for s in sentences) and not analysis.differences,
        "cosine_fp32": min(cosines, default=None),
        "frames": analysis.frames,
        "wire_bytes": analysis.wire_bytes,
        "wire_bytes_per_token": round(sum(port.sent_bytes for port in analysis.ports) / tokens, 3),
        "ports": [port.content() for port in analysis.ports],
        "counters": counters(words, end - begin),
        "load_cycles": load_cycles,
        "transport": transport,
        **({} if vectors is None else {"vectors": vectors}),
        "timing": timing,
    }


def write_result(path: Path, content: dict[str, Any]) -> None:
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"

    def write(temporary: Path) -> None:
        temporary.write_text(text, encoding="utf-8")

    write_whole(path, write)


def write_outputs(path: Path, sentences: Sequence[SentenceReport]) -> None:
    """outputs.npz: ``s<i>_e<j>_rtl`` and ``s<i>_e<j>_model`` (N, H) int8, ``s<i>_embedding`` and ``s<i>_embedding_fp32`` (H,) float64.

    ``_rtl`` is absent for an encoder whose rows never left a node (one node only), embeddings where there is no float model.
    """
    arrays: dict[str, Any] = {}
    for i, sentence in enumerate(sentences):
        a = sentence.analysis
        for j in range(len(a.model)):
            if a.on_wire[j]:
                arrays[f"s{i}_e{j}_rtl"] = a.rtl[j]
            arrays[f"s{i}_e{j}_model"] = a.model[j]
        for name in ("embedding", "embedding_fp32"):
            if getattr(sentence, name) is not None:
                arrays[f"s{i}_{name}"] = getattr(sentence, name)

    def write(temporary: Path) -> None:
        with temporary.open("wb") as out:
            np.savez(out, **arrays)

    write_whole(path, write)
