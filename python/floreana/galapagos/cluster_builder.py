# SPDX-License-Identifier: Apache-2.0
"""The Cluster Builder's ``config.json`` -> a description.

Format: README.md, config.json, python_scripts/utils.py and modules.py of https://github.com/yugao-uoft/Galapagos_Cluster_Builder.
An encoder is eight layers; each names its FPGA, how many kernels share it (``partition``) and how wide its units are. What a description
has no key for is told line by line, never dropped in silence. Rules: docs/galapagos.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from floreana.errors import InputError
from floreana.galapagos.files import MAX_BYTES, Problems, read_json
from floreana.galapagos.project import write_project

# layer -> its units, and the operators of mapping.place that it becomes
LAYERS: dict[str, tuple[tuple[str, ...], str]] = {
    "attention_0": (("linear", "act"), "qkv"),
    "attention_1": (("attention_matmul", "softmax"), "attention"),
    "attention_2": (("softmax_matmul", "act"), "attention"),
    "attention_output_0": (("linear", "act"), "out"),
    "attention_output_1": (("layernorm", "act"), "ln1"),
    "intermediate_0": (("linear", "gelu", "act"), "ffn1"),
    "intermediate_output_0": (("linear", "act"), "ffn2"),
    "intermediate_output_1": (("layernorm", "act"), "ln2"),
}
SIZES = {
    "max_sentence_len": (1, 512),
    "hidden_size": (64, 1024),
    "num_hidden_layers": (1, 64),
    "num_attention_heads": (1, 64),
    "intermediate_size": (64, 1 << 16),
}
VECTOR = 64  # int8 products of a PE: a beat of 512 bits
POST_LANES = NORM_LANES = (1, 2, 4, 8, 16)
K_LANES, OUT_N = 64, 48  # the array of a description's default build
SIDEWINDER = "xczu19eg"


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer: FPGA part and board, the number of kernels that share it, and its units' ``dim`` by name."""

    partition: int
    part: str
    board: str
    units: dict[str, dict[str, int]]


@dataclass(frozen=True, slots=True)
class BuilderConfig:
    """A checked config.json."""

    sizes: dict[str, int]
    threads: int | None
    groups: tuple[tuple[str, ...], ...]
    layers: dict[str, Layer]


def read_config(path: Path) -> BuilderConfig:
    """Read and check a config.json. Raises InputError (exit code 2) with every problem."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    if len(data) > MAX_BYTES:
        raise InputError(f"{path}: {len(data):,} bytes; a config.json has at most {MAX_BYTES:,}; name another file")
    raw = read_json(path, data)
    if not isinstance(raw, dict):
        raise InputError(f"{path}: not an object of keys; a config.json begins with {{")
    problems = Problems()
    sizes = {key: problems.integer(path, key, raw.get(key), *limits) for key, limits in SIZES.items()}
    count = problems.integer(path, "num_layer_per_encoder", raw.get("num_layer_per_encoder", len(LAYERS)), 1, 64)
    if count is not None and count != len(LAYERS):
        problems.add(path, "num_layer_per_encoder", count, f"an encoder has the {len(LAYERS)} layers {', '.join(LAYERS)}", "correct it")
    threads = None
    if "num_build_thread" in raw:
        threads = problems.integer(path, "num_build_thread", raw["num_build_thread"], 1, 1 << 16)
    for key in raw:
        if key not in {*SIZES, *LAYERS, "num_layer_per_encoder", "num_build_thread", "cluster"}:
            problems.add(path, key, "(present)", f"no such layer or size; layers are {', '.join(LAYERS)}", "correct the name, or remove it")
    groups = _groups(path, raw.get("cluster"), problems)
    layers = {name: _layer(path, name, raw.get(name), problems) for name in LAYERS}
    problems.check()
    known = {key: value for key, value in sizes.items() if value is not None}
    made = {name: layer for name, layer in layers.items() if layer is not None}
    _check_sizes(path, known, made, problems)
    problems.check()
    return BuilderConfig(known, threads, groups, made)


def _groups(path: Path, value: object, problems: Problems) -> tuple[tuple[str, ...], ...]:
    if not isinstance(value, list) or not all(isinstance(group, list) and group for group in value):
        problems.add(path, "cluster", value, "a list of lists of layers is needed", "write one list with all eight layers")
        return ()
    names = [str(name) for group in value for name in group]
    for name in sorted(set(names)):
        if name not in LAYERS:
            problems.add(path, "cluster", name, f"no such layer; known: {', '.join(LAYERS)}", "correct the name")
        elif names.count(name) > 1:
            problems.add(path, "cluster", name, f"the layer stands {names.count(name)} times", "name it once")
    for name in LAYERS:
        if name not in names:
            problems.add(path, "cluster", name, "the layer is in no cluster", "add it")
    return tuple(tuple(str(name) for name in group) for group in value)


def _layer(path: Path, name: str, value: object, problems: Problems) -> Layer | None:
    if not isinstance(value, dict):
        problems.add(path, name, value, "the layer is missing", "add it, with partition, part, board and config")
        return None
    partition = problems.integer(path, f"{name}.partition", value.get("partition"), 1, 63)
    units: dict[str, dict[str, int]] = {}
    config = value.get("config")
    for index, unit in enumerate(config if isinstance(config, list) else []):
        kind = unit.get("name") if isinstance(unit, dict) else None
        dim = unit.get("dim") if isinstance(unit, dict) else None
        key = f"{name}.config[{index}]"
        if kind not in LAYERS[name][0] or kind in units:
            problems.add(path, f"{key}.name", kind, f"the units of this layer are {', '.join(LAYERS[name][0])}, each once", "correct it")
            continue
        wanted = {"linear": ("M", "K", "tile", "pe"), "attention_matmul": ("pe",), "softmax_matmul": ("pe",)}.get(str(kind), ("unroll",))
        if not isinstance(dim, dict):
            problems.add(path, f"{key}.dim", dim, f"the unit has {', '.join(wanted)}", "add it")
            continue
        values = {word: problems.integer(path, f"{key}.dim.{word}", dim.get(word), 1, 1 << 16) for word in wanted}
        units[str(kind)] = {word: number for word, number in values.items() if number is not None}
    for kind in LAYERS[name][0]:
        if not any(isinstance(unit, dict) and unit.get("name") == kind for unit in (config if isinstance(config, list) else [])):
            problems.add(path, f"{name}.config", kind, "the unit is missing", "add it")
    texts = {}
    for key in ("part", "board"):
        text = value.get(key)
        if not isinstance(text, str) or not text:
            problems.add(path, f"{name}.{key}", text, "a name is needed", "add it")
        texts[key] = str(text)
    return None if partition is None else Layer(partition, texts["part"], texts["board"], units)


def _check_sizes(path: Path, sizes: dict[str, int], layers: dict[str, Layer], problems: Problems) -> None:
    hidden, ffn = sizes["hidden_size"], sizes["intermediate_size"]
    shapes = {"attention_0": (hidden, hidden), "attention_output_0": (hidden, hidden)}
    shapes |= {"intermediate_0": (ffn, hidden), "intermediate_output_0": (hidden, ffn)}
    for name, (outputs, inputs) in shapes.items():
        dim, partition = layers[name].units["linear"], layers[name].partition
        if dim["M"] not in (outputs, outputs // partition):
            problems.add(path, f"{name}.linear.M", dim["M"], f"the sizes make {outputs} outputs", "correct one of them")
        if dim["K"] != inputs:
            problems.add(path, f"{name}.linear.K", dim["K"], f"the sizes make {inputs} inputs", "correct one of them")
        if outputs % partition:
            problems.add(path, f"{name}.partition", partition, f"{outputs} outputs do not divide", "choose a divisor")
        elif outputs // partition % dim["tile"]:
            problems.add(path, f"{name}.linear.tile", dim["tile"], f"{outputs // partition} outputs do not divide", "choose a divisor")
        if inputs % (dim["pe"] * VECTOR):
            limit = f"a PE takes {VECTOR} of {inputs} inputs at once, and {dim['pe']} of them do not divide those"
            problems.add(path, f"{name}.linear.pe", dim["pe"], limit, f"choose a divisor of {inputs // VECTOR}")


def _lanes(values: list[int], allowed: tuple[int, ...]) -> int:
    """The widest unit, in lanes that a description has."""
    return min((lanes for lanes in allowed if lanes >= max(values)), default=allowed[-1])


def describe_config(
    config: BuilderConfig, strategy: Literal["pipeline", "tensor"], nodes: int | None, encoders: int | None
) -> tuple[list[str], dict[str, Any]]:
    """Comments, one for each thing that a description says otherwise or not at all, and the sections of the description.

    ``pipeline`` gives each layer nodes of its own, as many as its partition; ``tensor`` gives every one of ``nodes`` a slice of each.
    """
    sizes, layers = config.sizes, config.layers
    made = sizes["num_hidden_layers"] if encoders is None else encoders
    notes = ["From a config.json of the Galapagos Cluster Builder (docs/galapagos.md). What is said otherwise here, or not at all:"]
    if encoders is not None and encoders != sizes["num_hidden_layers"]:
        notes.append(f"  num_hidden_layers {sizes['num_hidden_layers']}: {encoders} as chosen.")
    if len(config.groups) > 1:
        notes.append(f"  cluster: the layers are in {len(config.groups)} clusters; a cluster here holds whole encoders, so all are in one.")
    for name in sorted({layer.part for layer in layers.values()}):
        if not name.startswith(SIDEWINDER):
            users = ", ".join(layer for layer in LAYERS if layers[layer].part == name)
            notes.append(f"  part {name} of {users}: nodes have one shape; `floreana synth` holds it against an XCZU19EG.")
    for name, layer in layers.items():
        if "linear" in layer.units:
            dim = layer.units["linear"]
            products = dim["tile"] * dim["pe"] * VECTOR
            copies = " each of Q, K, V" if name == "attention_0" else ""
            notes.append(
                f"  {name}.linear tile {dim['tile']}, pe {dim['pe']}: {products} products a cycle for {dim['M']} x {dim['K']} weights"
                f"{copies}; a node has one array of {K_LANES * OUT_N} here."
            )
            if name in ("attention_output_0", "intermediate_output_0") and layer.partition > 1 and strategy == "pipeline":
                notes.append(f"  {name}.partition {layer.partition}: divides the outputs there, the inputs here.")
        for unit in ("attention_matmul", "softmax_matmul"):
            if unit in layer.units:
                notes.append(
                    f"  {name}.{unit} pe {layer.units[unit]['pe']}: a kernel for each head there, a beat of 64 channels a cycle here."
                )
        if "softmax" in layer.units:
            notes.append(f"  {name}.softmax unroll {layer.units['softmax']['unroll']}: a key a cycle here.")
    post = _lanes([u["unroll"] for layer in layers.values() for k, u in layer.units.items() if k in ("act", "gelu")], POST_LANES)
    norm = _lanes([u["unroll"] for layer in layers.values() for k, u in layer.units.items() if k == "layernorm"], NORM_LANES)
    notes.append(f"  unroll of act and gelu: the widest, as post_lanes {post}; of layernorm: as norm_lanes {norm}; the same on every node.")
    if config.threads is not None:
        notes.append(f"  num_build_thread {config.threads}: the option --jobs of a command.")

    cluster: dict[str, Any]
    mapping: dict[str, Any] = {"strategy": strategy}
    if strategy == "tensor":
        cluster = {"nodes": 6 if nodes is None else nodes}
        notes.append("  partition: with strategy tensor every node holds a slice of every layer.")
    else:
        if nodes is not None:
            raise InputError(
                f"--nodes {nodes}: in strategy pipeline the partitions give the nodes; leave it out, or choose --strategy tensor"
            )
        place: dict[str, list[str]] = {}
        for name, (_, operator) in LAYERS.items():
            if operator in place:  # attention_2: scores and context are one kernel
                count = max(layers["attention_1"].partition, layers["attention_2"].partition)
                notes.append("  attention_1, attention_2: scores, softmax and context are one kernel here, on one node.")
            else:
                count = layers[name].partition
            base = operator
            place[operator] = [base] if count == 1 else [f"{base}_{k}" for k in range(count)]
        cluster = {"nodes": [name for names in place.values() for name in names]}
        mapping["place"] = place
    sections: dict[str, Any] = {
        "model": {
            "source": "synthetic",
            "hidden": sizes["hidden_size"],
            "heads": sizes["num_attention_heads"],
            "ffn": sizes["intermediate_size"],
            "encoders": made,
        },
        "cluster": cluster,
        "mapping": mapping,
        "build": {"k_lanes": K_LANES, "out_n": OUT_N, "post_lanes": post, "norm_lanes": norm, "max_tokens": sizes["max_sentence_len"]},
    }
    notes.append("  Weights are in other files there; the model here is random, of the same sizes.")
    return notes, sections


def import_config(
    path: Path,
    name: str,
    strategy: Literal["pipeline", "tensor"] = "pipeline",
    nodes: int | None = None,
    encoders: int | None = None,
    out: Path | None = None,
) -> tuple[Path, list[str]]:
    """Write a description with the sizes and the placement of a config.json; returns its path and what is told about it.

    Raises InputError with every problem of the file, or with what the loader or the mapper say of the result.
    """
    notes, sections = describe_config(read_config(path), strategy, nodes, encoders)
    return write_project(name, notes, sections, out), notes
