# SPDX-License-Identifier: Apache-2.0
"""Integer parameters on disk: one .npz, no pickle, every shape and range checked on the way in and on the way out.

Keys: ``meta`` (JSON text as bytes: format, name, hidden, heads, ffn, encoders), ``input_scale``, ``output_scale``, and
``<encoder>/<field>/<array>`` for every array of :class:`~floreana.ibert.params.EncoderParams`, scalars as 0-d arrays.
"""

from __future__ import annotations

import json
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from floreana.errors import EnvironmentError_, InputError
from floreana.ibert import ops
from floreana.ibert.params import (
    DEFERRED,
    PUBLISHED,
    EncoderParams,
    GeluParams,
    LayerNormParams,
    LinearParams,
    ModelParams,
    RequantParams,
    SoftmaxParams,
)

FORMAT = 2

# how each field of EncoderParams is built: kind, then the channels of its rows and (linear only) of its columns
_FIELDS: dict[str, tuple[str, str, str]] = {
    "q": ("linear", "h", "h"),
    "k": ("linear", "h", "h"),
    "v": ("linear", "h", "h"),
    "q_rq": ("requant", "h", ""),
    "k_rq": ("requant", "h", ""),
    "v_rq": ("requant", "h", ""),
    "softmax": ("softmax", "", ""),
    "context_rq": ("requant", "h", ""),
    "out": ("linear", "h", "h"),
    "out_rq": ("requant", "h", ""),
    "out_res_rq": ("requant", "h", ""),
    "ln1": ("layer_norm", "h", ""),
    "ln1_rq": ("requant", "h", ""),
    "ffn1": ("linear", "f", "h"),
    "gelu": ("gelu", "f", ""),
    "ffn1_rq": ("requant", "f", ""),
    "ffn2": ("linear", "h", "f"),
    "ffn2_rq": ("requant", "h", ""),
    "ffn2_res_rq": ("requant", "h", ""),
    "ln2": ("layer_norm", "h", ""),
    "ln2_rq": ("requant", "h", ""),
}
_KINDS: dict[str, Any] = {
    "linear": LinearParams,
    "requant": RequantParams,
    "softmax": SoftmaxParams,
    "layer_norm": LayerNormParams,
    "gelu": GeluParams,
}
# range of every array, inclusive: the widths of the configuration layouts
_RANGES: dict[str, dict[str, tuple[int, int]]] = {
    "linear": {"weight": ops.INT8, "bias": ops.INT32},
    "requant": {"m": ops.INT32, "e": (0, ops.E_MAX), "off": ops.signed(9)},
    "softmax": {
        "x0": (-((1 << 16) - 1), -1),
        "b": ops.signed(20),
        "c": ops.INT32,
        "m": (0, ops.INT32[1]),
        "e": (ops.SOFTMAX_N, ops.E_MAX),
        "mode": (PUBLISHED, DEFERRED),
    },
    "layer_norm": {"shift": (0, 31), "bias": ops.INT32},
    "gelu": {"b": (ops.signed(20)[0], 0), "c": ops.signed(40), "shift": ops.signed(24)},
}
_SCALARS = {"softmax": {"x0", "b", "c", "m", "e", "mode"}, "layer_norm": {"shift"}}


def _arrays(hidden: int, ffn: int) -> Iterator[tuple[str, str, str, tuple[int, ...], tuple[int, int]]]:
    """(field, kind, array name, shape, range) of everything in one encoder."""
    size = {"h": hidden, "f": ffn, "": 0}
    for field, (kind, rows, columns) in _FIELDS.items():
        for name, limits in _RANGES[kind].items():
            if name in _SCALARS.get(kind, set()):
                shape: tuple[int, ...] = ()
            elif name == "weight":
                shape = (size[rows], size[columns])
            else:
                shape = (size[rows],)
            yield field, kind, name, shape, limits


def problems(params: ModelParams) -> list[str]:
    """Everything wrong with ``params``: shapes, integer types, ranges, scales. Empty if they are usable."""
    found: list[str] = []
    if params.heads < 1 or params.hidden % params.heads:
        found.append(f"hidden size {params.hidden} is not a multiple of {params.heads} heads")
    if not params.encoders:
        found.append("no encoder: at least one is needed")
    for name, scale in (("input_scale", params.input_scale), ("output_scale", params.output_scale)):
        if scale.shape != (params.hidden,):
            found.append(f"{name}: shape {scale.shape}, not {(params.hidden,)}")
        elif not (np.isfinite(scale).all() and (scale > 0).all()):
            found.append(f"{name}: every value must be finite and positive")
    for index, layer in enumerate(params.encoders):
        for field, _, name, shape, limits in _arrays(params.hidden, params.ffn):
            array = np.asarray(getattr(getattr(layer, field), name))
            where = f"encoder {index}, {field}.{name}"
            if array.dtype.kind != "i":
                found.append(f"{where}: {array.dtype} is not a signed integer type")
            elif array.shape != shape:
                found.append(f"{where}: shape {array.shape}, not {shape}")
            elif array.size and not limits[0] <= int(array.min()) <= int(array.max()) <= limits[1]:
                found.append(f"{where}: {int(array.min())}..{int(array.max())} is outside {limits[0]}..{limits[1]}")
    if not found:
        for index, layer in enumerate(params.encoders):
            if layer.softmax.mode == DEFERRED and (greatest := ops.greatest_exponential(layer.softmax)) != ops.UINT8[1]:
                found.append(f"encoder {index}, softmax: the greatest exponential is {greatest}, a deferred softmax needs {ops.UINT8[1]}")
    return found


def _refuse(where: str, found: list[str]) -> None:
    if found:
        more = f" (and {len(found) - 8} more)" if len(found) > 8 else ""
        raise InputError(f"{where}: {'; '.join(found[:8])}{more}. Quantise the model again.")


def save_params(path: Path, params: ModelParams) -> None:
    """Write ``params`` to ``path`` under a temporary name, then rename. Same parameters, same bytes.

    Raises InputError for parameters out of range, EnvironmentError_ where the file cannot be written.
    """
    _refuse(f"integer parameters {params.name!r}", problems(params))
    meta = {
        "format": FORMAT,
        "name": params.name,
        "hidden": params.hidden,
        "heads": params.heads,
        "ffn": params.ffn,
        "encoders": len(params.encoders),
    }
    arrays: dict[str, np.ndarray[Any, Any]] = {
        "meta": np.frombuffer(json.dumps(meta, sort_keys=True).encode(), np.uint8),
        "input_scale": np.asarray(params.input_scale, np.float64),
        "output_scale": np.asarray(params.output_scale, np.float64),
    }
    for index, layer in enumerate(params.encoders):
        for field, _, name, _, _ in _arrays(params.hidden, params.ffn):
            dtype = np.int8 if name == "weight" else np.int64
            arrays[f"{index}/{field}/{name}"] = np.asarray(getattr(getattr(layer, field), name), dtype)
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as handle:
            temporary = Path(handle.name)
            np.savez(handle, allow_pickle=False, **arrays)  # type: ignore[arg-type]
        temporary.chmod(0o644)
        temporary.replace(path)
        temporary = None
    except OSError as error:
        raise EnvironmentError_(f"cannot write {path}: {error.strerror or error}. Free some space or choose another folder.") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def load_params(path: Path) -> ModelParams:
    """Read and validate what :func:`save_params` wrote. Raises InputError naming the file and what is wrong with it."""
    remedy = "Delete the file; it is made again by the next run."
    try:
        with np.load(path, allow_pickle=False) as data:
            arrays = {key: data[key] for key in data.files}
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file. Quantise the model first.") from error
    except (OSError, ValueError, zipfile.BadZipFile, EOFError, KeyError) as error:
        raise InputError(f"{path}: not readable as integer parameters ({error}). {remedy}") from error
    try:
        meta = json.loads(arrays["meta"].tobytes().decode())
        if meta["format"] != FORMAT:
            raise InputError(f"{path}: format {meta['format']}, this version reads {FORMAT}. {remedy}")
        hidden, heads, ffn, count = (int(meta[key]) for key in ("hidden", "heads", "ffn", "encoders"))
        layers: list[EncoderParams] = []
        for index in range(count):
            fields: dict[str, Any] = {}
            for field, (kind, _, _) in _FIELDS.items():
                values: dict[str, Any] = {}
                for name in _RANGES[kind]:
                    array = arrays[f"{index}/{field}/{name}"]
                    scalar = name in _SCALARS.get(kind, set())
                    if array.dtype.kind != "i" or (scalar and array.shape):
                        raise TypeError(f"{index}/{field}/{name} is {array.dtype} of shape {array.shape}")
                    values[name] = int(array) if scalar else array.astype(np.int64)
                fields[field] = _KINDS[kind](**values)
            layers.append(EncoderParams(**fields))
        params = ModelParams(str(meta["name"]), hidden, heads, ffn, tuple(layers), arrays["input_scale"], arrays["output_scale"])
    except (KeyError, TypeError, ValueError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: damaged, {error}. {remedy}") from error
    _refuse(str(path), problems(params))
    return params
