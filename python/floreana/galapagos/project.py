# SPDX-License-Identifier: Apache-2.0
"""Descriptions made from files of others: checked by the loader and the mapper before they are written."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

import yaml

from floreana.cluster.description import HOST_NAME, MAX_NODES, find_project, format_ip, format_mac, load_project, projects_root
from floreana.cluster.plan import make_plan
from floreana.errors import InputError
from floreana.galapagos.files import GalapagosCluster, read_cluster

STREAM_BITS = 512


class _Quoted(str):
    """A string that YAML would take for a number without quotes."""


class _Dumper(yaml.SafeDumper):
    pass


_Dumper.add_representer(_Quoted, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", str(text), style='"'))


def write_project(name: str, comments: list[str], sections: dict[str, Any], out: Path | None) -> Path:
    """Write ``<out or fpga_projects>/<name>/project.yaml`` once ``load_project`` and ``make_plan`` have accepted it.

    Raises InputError where they refuse it, and where the file exists already.
    """
    final = (projects_root() if out is None else out) / name / "project.yaml"
    if final.exists():
        raise InputError(f"{final} exists; remove it, or choose another --name")
    body = yaml.dump({"name": name, **sections}, Dumper=_Dumper, sort_keys=False, width=120)
    # names from the files stand in comments: nothing of them may begin a line
    clean = [re.sub(r"[^\x20-\x7e\xa0-\u2027\u202a-\ud7ff]", " ", line) for line in comments]
    text = "".join(f"# {line}\n" for line in ["SPDX-License-Identifier: Apache-2.0", *clean]) + body
    with tempfile.TemporaryDirectory() as folder:
        trial = Path(folder) / name / "project.yaml"
        trial.parent.mkdir()
        trial.write_text(text, encoding="utf-8")
        try:
            make_plan(load_project(trial))
        except InputError as error:
            raise InputError(f"nothing written: the description would be refused:\n{error.message.replace(folder + '/', '')}") from None
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = final.with_suffix(".yaml.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(final)
    return final


def describe(found: GalapagosCluster, like: Path) -> tuple[list[str], dict[str, Any]]:
    """Comments and sections of a description with the FPGAs of ``found``; model, mapping and build are those of the project ``like``."""
    boards = [node for node in found.nodes if node.hardware]
    hosts = [node for node in found.nodes if not node.hardware]
    if not 1 <= len(boards) <= MAX_NODES:
        raise InputError(f"the map file has {len(boards)} nodes of type hw; a cluster has 1 to {MAX_NODES}; correct it")
    if len(hosts) > 1:
        raise InputError(f"the map file has {len(hosts)} nodes of type sw; a cluster has one host; keep the one that sends the rows")
    pattern = load_project(like)
    if pattern.cluster.topology != "star":
        raise InputError(
            f"{pattern.name} is a {pattern.cluster.topology}; Galapagos' boards are on one Ethernet switch; name a star with --like"
        )
    raw = yaml.safe_load(like.read_text(encoding="utf-8"))
    names = list(pattern.cluster.nodes) if pattern.nodes == len(boards) else [f"node{k}" for k in range(len(boards))]
    texts = {kernel.number: kernel.name for kernel in found.kernels}
    comments = ["Nodes and addresses from a Galapagos map file (docs/galapagos.md). Its kernels, which the plan numbers anew:"]
    for name, node in zip([*names, HOST_NAME], [*boards, *hosts], strict=False):
        listed = ", ".join(f"{number} {texts[number]}" for number in node.kernels)
        comments.append(f"  {name}: {listed}" + (f" (board {node.board}{', ' + node.comm if node.comm else ''})" if node.hardware else ""))
    if not hosts:
        comments.append("  No node of type sw: the host has the base addresses plus the count of nodes.")
    data = found.packet.get("data", STREAM_BITS)
    if data != STREAM_BITS:
        comments.append(f"  Its streams are {data} bits wide, those of our kernels {STREAM_BITS}.")
    addresses = {
        name: {"mac": _Quoted(format_mac(node.mac)), "ip": format_ip(node.ip)}
        for name, node in zip([*names, HOST_NAME], [*boards, *hosts], strict=False)
    }
    cluster: dict[str, Any] = {"nodes": names, "topology": "star", "addresses": addresses}
    if pattern.clusters > 1:
        cluster["clusters"] = pattern.clusters
    sections = {key: raw[key] for key in ("mapping", "build", "transport") if key in raw}
    return comments, {"model": raw["model"], "cluster": cluster, **sections}


def import_map(logical: Path, mapping: Path, name: str, like: str = "minilm_6", out: Path | None = None) -> tuple[Path, list[str]]:
    """Write a description with the addresses of a Galapagos cluster; returns its path and what is told about it.

    Raises InputError with every problem of the two files, or with what the loader or the mapper say of the result.
    """
    comments, sections = describe(read_cluster(logical, mapping), find_project(like))
    return write_project(name, comments, sections, out), comments
