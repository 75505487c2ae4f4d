# SPDX-License-Identifier: Apache-2.0
"""Published latencies of BERT-base, batch 1, and figures of other accelerators: data/gpus.toml, checked as it is read."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from floreana.errors import InputError

FILE = Path(__file__).parent / "data" / "gpus.toml"
Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]


class Published(BaseModel):
    """One published figure: a latency ``ms`` of BERT-base with ``tokens`` and ``dtype``, or a ``figure`` in words."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Text
    device: Text
    software: Text
    kind: Literal["published"]
    source: Text
    tokens: Annotated[int, Field(ge=1)] | None = None
    dtype: Text | None = None
    ms: Annotated[float, Field(gt=0)] | None = None
    figure: Text | None = None

    @property
    def system(self) -> str:
        return f"{self.device}, {self.software}"

    @model_validator(mode="after")
    def _one(self) -> Published:
        given = [value is not None for value in (self.tokens, self.dtype, self.ms)]
        if any(given) != all(given) or all(given) == (self.figure is not None):
            raise ValueError("tokens, dtype and ms are needed, or figure alone")
        return self


def parse_published(raw: dict[str, Any], where: str) -> tuple[Published, ...]:
    """InputError with everything that is wrong."""
    problems = [f"[{name}] is not known; there is published" for name in raw if name != "published"]
    found: list[Published] = []
    for number, item in enumerate(raw.get("published", [])):
        name = item.get("id", f"number {number}") if isinstance(item, dict) else f"number {number}"
        try:
            found.append(Published.model_validate(item))
        except ValidationError as error:
            problems += [f"{name}: {'.'.join(map(str, e['loc'])) or 'entry'}: {e['msg']}" for e in error.errors(include_url=False)]
    ids = [each.id for each in found]
    problems += [f"{name} stands there {ids.count(name)} times" for name in sorted({name for name in ids if ids.count(name) > 1})]
    if problems or not found:
        lines = problems or ["there is no figure"]
        raise InputError(f"{where}: {len(lines)} error(s)\n" + "\n".join(f"  {line}" for line in lines))
    return tuple(found)


def load_published(path: Path = FILE) -> tuple[Published, ...]:
    """Read and check the file. InputError with everything that is wrong."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}; restore it") from error
    except ValueError as error:
        raise InputError(f"{path} is not TOML: {error}") from error
    return parse_published(raw, str(path))
