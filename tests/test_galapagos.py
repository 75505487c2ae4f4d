# SPDX-License-Identifier: Apache-2.0
"""Galapagos' files in and out, the Cluster Builder's config.json, and what is refused of each."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pyslang
import pytest
from pyslang import ast, syntax

from floreana.cli import main
from floreana.cluster.description import find_project, format_ip, format_mac, load_project
from floreana.cluster.plan import Plan, make_plan
from floreana.environment import project_root
from floreana.errors import InputError
from floreana.galapagos.cluster_builder import LAYERS, describe_config, read_config
from floreana.galapagos.export import (
    KERNELS,
    PARAMETERS,
    GalapagosOptions,
    check,
    config_beats,
    logical_file,
    map_file,
    numbers,
    receivers,
    render_tree,
    render_wrapper,
    write_export,
)
from floreana.galapagos.files import read_cluster, read_tree
from floreana.galapagos.project import import_map
from floreana.project.ipxact import read_module

SAMPLES = Path(__file__).parent / "galapagos"


def plan_of(name: str, nodes: int | None = None) -> Plan:
    return make_plan(load_project(find_project(name), nodes=nodes))


# ------------------------------------------------------------------ import


def test_xml_and_json_are_the_same_tree() -> None:
    for name in ("logical", "map"):
        assert read_tree(SAMPLES / f"{name}.xml") == read_tree(SAMPLES / f"{name}.json")


@pytest.mark.parametrize("form", ["xml", "json"])
def test_kernels_and_addresses(form: str) -> None:
    found = read_cluster(SAMPLES / f"logical.{form}", SAMPLES / f"map.{form}")
    assert [(kernel.number, kernel.name) for kernel in found.kernels] == [(1, "sender"), *((k, "worker") for k in (2, 3, 4, 5))]
    assert [(n.hardware, n.kernels, format_mac(n.mac), format_ip(n.ip), n.board) for n in found.nodes] == [
        (False, (1,), "02:aa:00:00:00:09", "10.20.0.200", ""),
        (True, (2, 3), "02:aa:00:00:00:50", "10.20.0.31", "sidewinder"),
        (True, (4, 5), "02:aa:00:00:00:17", "10.20.0.7", "u200"),
    ]
    assert found.packet == {"data": 512, "dest": 8, "keep": 1, "last": 1}


def test_a_description_has_the_addresses_of_the_map(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [str(SAMPLES / "logical.xml"), str(SAMPLES / "map.json")]
    command = ["galapagos", "import", *files, "--name", "two", "--like", "tiny_2", "--out", str(tmp_path)]
    assert main(command) == 0
    assert "node0: 2 worker, 3 worker (board sidewinder, udp)" in capsys.readouterr().out
    plan = make_plan(load_project(tmp_path / "two" / "project.yaml"))
    assert [(node.mac, format_ip(node.ip)) for node in plan.nodes] == [(0x02AA00000050, "10.20.0.31"), (0x02AA00000017, "10.20.0.7")]
    assert (plan.host.mac, format_ip(plan.host.ip)) == (0x02AA00000009, "10.20.0.200")
    # every table that holds an address has the new ones
    assert plan.nodes[0].peer[0][1].mac == 0x02AA00000017 and plan.nodes[0].up.mac == plan.host.mac
    assert plan.host.peer[1].ip == plan.nodes[1].ip
    like = plan_of("tiny_2")
    assert (plan.hidden, plan.heads, plan.shape) == (like.hidden, like.heads, like.shape)
    assert main(command) == 2
    assert "exists; remove it" in capsys.readouterr().err


def test_a_description_that_the_loader_refuses_is_not_written(tmp_path: Path) -> None:
    """Two boards, but a pattern of one encoder on six operators' nodes: nothing is left behind."""
    with pytest.raises(InputError, match="nothing written: the description would be refused"):
        import_map(SAMPLES / "logical.xml", SAMPLES / "map.xml", "bad", "ibert_base_6_pipeline", tmp_path)
    assert not list(tmp_path.rglob("*.yaml"))
    with pytest.raises(InputError, match="is a ring; Galapagos' boards are on one Ethernet switch"):
        import_map(SAMPLES / "logical.xml", SAMPLES / "map.xml", "bad", "tiny_3_ring", tmp_path)


def edited(tmp_path: Path, name: str, change: Any) -> Path:
    value = json.loads((SAMPLES / name).read_text(encoding="utf-8"))
    change(value["cluster"] if "cluster" in value and isinstance(value["cluster"], dict) else value)
    path = tmp_path / name
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


BAD_MAPS = {
    "unknown kernel": (lambda c: c["node"][1].update(kernel=["2", "9"]), r"node\[1\].kernel = 9: the logical file has no kernel"),
    "kernel on two nodes": (lambda c: c["node"][2].update(kernel=["4", "5", "2"]), r"kernel 2 is on cluster.node\[1\] already"),
    "kernel on no node": (lambda c: c["node"][2].update(kernel="4"), "kernel 5: worker is on no node"),
    "same mac": (lambda c: c["node"][2].update(mac="02:AA:00:00:00:50"), r"node\[2\].mac = .*node\[1\] has the same address"),
    "same ip": (lambda c: c["node"][0].update(ip="10.20.0.7"), r"node\[2\].ip = 10.20.0.7: cluster.node\[0\] has the same address"),
    "no ip": (lambda c: c["node"][1].pop("ip"), r"node\[1\].ip = \(absent\)"),
    "no mac": (lambda c: c["node"][1].pop("mac"), r"node\[1\].mac = \(absent\)"),
    "group mac": (lambda c: c["node"][1].update(mac="01:00:00:00:00:00"), "marks a group address"),
    "bad ip": (lambda c: c["node"][1].update(ip="10.300.0.1"), "four numbers from 0 to 255"),
    "type": (lambda c: c["node"][1].update(type="gpu"), "write hw or sw"),
    "board": (lambda c: c["node"][1].pop("board"), "names its board"),
    "no kernel": (lambda c: c["node"][1].pop("kernel"), "at least one kernel"),
    "kernel is text": (lambda c: c["node"][1].update(kernel=["2", "three"]), "a whole number is needed"),
    "node is text": (lambda c: c["node"].append("x"), "a node has type, kernel, mac and ip"),
    "no node": (lambda c: c.pop("node"), "at least one node"),
}


@pytest.mark.parametrize("name", sorted(BAD_MAPS))
def test_bad_maps(name: str, tmp_path: Path) -> None:
    change, message = BAD_MAPS[name]
    with pytest.raises(InputError, match=message):
        read_cluster(SAMPLES / "logical.json", edited(tmp_path, "map.json", change))


BAD_LOGICALS = {
    "number twice": (lambda c: c["kernel"][1].update(num="1"), "kernel 1 is sender already"),
    "no number": (lambda c: c["kernel"][1].pop("num"), r"kernel\[1\].num = \(absent\)"),
    "negative": (lambda c: c["kernel"][1].update(num="-1"), "must be 0 to"),
    "endless": (lambda c: c["kernel"][1].update(rep="99999999"), "must be 1 to"),
    "no name": (lambda c: c["kernel"][1].pop("#text"), "a kernel has a name"),
    "width": (lambda c: c["packet"].update(data="wide"), "packet.data = wide"),
    "no kernel": (lambda c: c.pop("kernel"), "at least one kernel"),
}


@pytest.mark.parametrize("name", sorted(BAD_LOGICALS))
def test_bad_logicals(name: str, tmp_path: Path) -> None:
    change, message = BAD_LOGICALS[name]
    with pytest.raises(InputError, match=message):
        read_cluster(edited(tmp_path, "logical.json", change), SAMPLES / "map.json")


def test_all_errors_of_both_files_are_told_at_once(tmp_path: Path) -> None:
    logical = edited(tmp_path, "logical.json", lambda c: c["kernel"][1].pop("num"))
    mapping = edited(tmp_path, "map.json", lambda c: c["node"][1].update(type="gpu"))
    with pytest.raises(InputError) as caught:
        read_cluster(logical, mapping)
    assert "logical.json" in caught.value.message and "map.json" in caught.value.message


BOMB = '<?xml version="1.0"?>\n<!DOCTYPE c [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>\n<cluster>&b;</cluster>'
BAD_FILES = {
    "bomb.xml": (BOMB, "bomb.xml:2: a DOCTYPE may define entities"),
    "outside.xml": ('<!DOCTYPE c SYSTEM "file:///etc/hostname"><cluster/>', "a DOCTYPE may define entities"),
    "open.xml": ("<cluster>\n<kernel>\n</cluster>", "open.xml:3: not XML: mismatched tag"),
    "empty.xml": ("", "not XML: no element found"),
    "other.xml": ("<thing/>", "the element that holds everything is missing"),
    "deep.xml": ("<a>" * 40 + "</a>" * 40, "more than 16 elements inside each other"),
    "cut.json": ('{"cluster": {', "cut.json:1: not JSON"),
    "list.json": ("[1]", "the file holds no element `cluster`"),
    "deep.json": ("[" * 100_000, "nested too deeply|not JSON"),
    "twice.json": ('{"cluster": {"node": 1, "node": 2}}', "'node' stands twice"),
    "file.txt": ("x", "neither .xml nor .json"),
    "large.xml": ("x" * ((1 << 20) + 1), "at most 1,048,576"),
}


@pytest.mark.parametrize("name", sorted(BAD_FILES))
def test_bad_files(name: str, tmp_path: Path) -> None:
    text, message = BAD_FILES[name]
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_cluster(path, SAMPLES / "map.json")
    with pytest.raises(InputError, match="no such file"):
        read_tree(tmp_path / "missing.xml")


# ------------------------------------------------------------------ export


@pytest.mark.parametrize("form", ["xml", "json"])
@pytest.mark.parametrize(("project", "count"), [("tiny_2", 2), ("minilm_6", 6)])
def test_what_is_exported_is_read_back(project: str, count: int, form: Any, tmp_path: Path) -> None:
    plan = plan_of(project)
    folder = write_export(plan, tmp_path, GalapagosOptions(form=form), "0.1.0")
    found = read_cluster(folder / f"logical.{form}", folder / f"map.{form}")
    # consecutive from 1, as Galapagos demands
    assert [kernel.number for kernel in found.kernels] == list(range(1, 2 + 3 * count))
    assert [(n.mac, n.ip) for n in found.nodes] == [(plan.host.mac, plan.host.ip), *((n.mac, n.ip) for n in plan.nodes)]
    names = {kernel.number: kernel.name for kernel in found.kernels}
    for node, made in zip(plan.nodes, found.nodes[1:], strict=True):
        assert [names[number] for number in made.kernels] == [f"galapagos_{kernel}" for kernel in KERNELS]
        assert made.kernels == tuple(numbers(plan)[node.kernels[kernel]] for kernel in KERNELS)
    for kernel in KERNELS:
        text = (folder / "ip" / f"galapagos_{kernel}" / "package.tcl").read_text(encoding="utf-8")
        assert f"set_property top galapagos_{kernel} " in text and "value ACTIVE_LOW" in text
        assert "s_axis_tuser s_axis_tdest s_axis_tid s_axis_tlast" in text
    before = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    write_export(plan, tmp_path, GalapagosOptions(form=form), "0.1.0")
    assert {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("project", ["tiny_2", "minilm_6", "ibert_base_6_pipeline"])
def test_every_message_of_the_plan_has_its_receivers(project: str) -> None:
    """The table against the plan's messages: a kernel is itself, a group who the edge is legal at, owners are kernels."""
    plan = plan_of(project)
    table, known = receivers(plan), numbers(plan)
    for node in plan.nodes:
        for messages in node.messages.values():
            for message in messages:
                for kernel in {message.dst_kernel + (owner if message.by_owner else 0) for owner in node.owners}:
                    takers = {
                        known[other.kernels[kind]]
                        for other in plan.nodes
                        for kind in KERNELS
                        if (other.kernels[kind] == kernel or kernel >= 224) and message.edge in other.edges.get(kind, {})
                    }
                    if kernel == 255:
                        takers = {1}
                    assert set(table[kernel]) == takers, (node.name, message)


def test_parameters_are_those_that_a_node_gives_its_kernels() -> None:
    """node_core elaborated with a plan's shape, by slang: each kernel's parameters against the wrapper's."""
    plan = plan_of("minilm_6")
    options = ast.CompilationOptions()
    options.topModules = {"node_core"}
    options.paramOverrides = [f"{name}={value}" for name, value in plan.shape.items()]
    compilation = ast.Compilation(pyslang.Bag([options]))
    for path in [project_root() / "rtl" / "node" / "node_core.v", *sorted((project_root() / "rtl" / "ibert").glob("ibert_[al]*.v"))]:
        compilation.addSyntaxTree(syntax.SyntaxTree.fromFile(str(path)))
    body: Any = compilation.getRoot().topInstances[0].body
    instances = {str(member.name): member for member in body if isinstance(member, ast.InstanceSymbol)}
    for kernel in KERNELS:
        made = {str(p.name): int(str(p.value)) for p in instances[f"u_{kernel}"].body.parameters if not p.isLocalParam}
        defaults = {parameter.name: int(parameter.default) for parameter in read_module(f"ibert_{kernel}").parameters}
        assert defaults | {name: plan.shape[source] for name, source in PARAMETERS[kernel].items()} == made


def test_configuration_packets_hold_the_writes_of_their_kernel(tmp_path: Path) -> None:
    image = tmp_path / "node0.hex"
    writes = [(unit << 28 | mem << 24 | index, index * 3 + unit) for unit in (0, 1, 2, 3, 4) for mem in (0, 5) for index in range(70)]
    image.write_text("".join(f"{address:08x}{data:0128x}\n" for address, data in writes), encoding="ascii")
    for unit, kernel in ((1, "linear"), (2, "attention"), (3, "add_norm")):
        beats = list(config_beats(image, kernel))
        packets: list[list[int]] = [[]]
        for last, beat in beats:
            packets[-1].append(beat)
            if last:
                packets.append([])
        assert packets.pop() == []
        got = []
        for head, *rest in packets:
            assert head == 1 << 80 and len(rest) <= 120
            got += list(zip(rest[::2], rest[1::2], strict=True))
        assert got == [(address & 0xFFFFFFF, data) for address, data in writes if address >> 28 == unit]


def test_what_galapagos_has_no_counterpart_of_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a ring: Galapagos' boards are on one Ethernet switch"):
        check(plan_of("tiny_3_ring"), GalapagosOptions())
    with pytest.raises(InputError, match="2 clusters: a logical file describes one"):
        check(plan_of("tiny_2x2"), GalapagosOptions())
    command = ["galapagos", "export", "--project", "tiny_2", "--out", str(tmp_path)]
    assert main([*command, "--dest-bits", "2", "--user-bits", "4"]) == 2
    told = capsys.readouterr().err
    assert "--dest-bits 2: must be 8 to 24" in told and "--user-bits 4: must be 8 to 64" in told
    assert main(command) == 0
    assert "without configuration packets" in capsys.readouterr().out


def test_names_are_escaped_in_xml(tmp_path: Path) -> None:
    plan = plan_of("tiny_2")
    path = tmp_path / "map.xml"
    path.write_text(render_tree(map_file(plan, GalapagosOptions(board="<&>")), "xml"), encoding="utf-8")
    logical = tmp_path / "logical.xml"
    logical.write_text(render_tree(logical_file(plan, GalapagosOptions(), "1"), "xml"), encoding="utf-8")
    assert read_cluster(logical, path).nodes[1].board == "<&>"
    assert "DEST_W(8)" in render_wrapper(plan, "linear", GalapagosOptions(dest_w=8))


# ------------------------------------------------------------------ config.json


def test_pipeline_of_a_config(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import-config", str(SAMPLES / "config.json"), "--name", "built", "--out", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    for line in (
        "attention_0.linear tile 2, pe 2: 256 products a cycle for 256 x 256 weights each of Q, K, V",
        "intermediate_output_0.partition 2: divides the outputs there, the inputs here",
        "attention_1.softmax unroll 2: a key a cycle here",
        "num_build_thread 4: the option --jobs",
    ):
        assert line in told
    project = load_project(tmp_path / "built" / "project.yaml")
    assert (project.model.hidden, project.model.heads, project.model.ffn, project.model.encoders) == (256, 4, 512, 2)
    assert (project.build.max_tokens, project.build.post_lanes, project.build.norm_lanes) == (64, 4, 8)
    place = project.mapping.place
    assert place is not None
    assert (place.qkv, place.attention, place.out) == (("qkv_0", "qkv_1"), ("attention_0", "attention_1"), ("out",))
    assert (place.ffn2, place.ln2) == (("ffn2_0", "ffn2_1"), ("ln2",))
    assert make_plan(project).strategy == "pipeline"


def test_tensor_of_a_config_and_fewer_encoders(tmp_path: Path) -> None:
    command = ["import-config", str(SAMPLES / "config.json"), "--name", "built", "--out", str(tmp_path)]
    assert main([*command, "--strategy", "tensor", "--nodes", "4", "--encoders", "1"]) == 0
    project = load_project(tmp_path / "built" / "project.yaml")
    assert (project.nodes, project.mapping.strategy, project.model.encoders) == (4, "tensor", 1)
    assert main([*command[:-3], "other", *command[-2:], "--nodes", "4"]) == 2


def test_the_published_sizes_make_a_plan(tmp_path: Path) -> None:
    """BERT-base as the paper has it: sizes, tiles and PEs of its eight layers."""
    value = json.loads((SAMPLES / "config.json").read_text(encoding="utf-8"))
    value |= {"hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072, "num_hidden_layers": 12, "max_sentence_len": 128}
    for layer, dim in {
        "attention_0": (768, 768, 2, 6),
        "attention_output_0": (768, 768, 4, 12),
        "intermediate_0": (3072, 768, 4, 12),
        "intermediate_output_0": (768, 3072, 4, 12),
    }.items():
        value[layer]["config"][0]["dim"] = dict(zip(("M", "K", "tile", "pe"), dim, strict=True))
    for layer in LAYERS:
        value[layer]["partition"] = 1
    path = tmp_path / "config.json"
    path.write_text(json.dumps(value), encoding="utf-8")
    assert main(["import-config", str(path), "--name", "base", "--encoders", "1", "--strategy", "tensor", "--out", str(tmp_path)]) == 0
    assert make_plan(load_project(tmp_path / "base" / "project.yaml")).shape["W_WORDS"] > 0
    notes, _ = describe_config(read_config(path), "pipeline", None, None)
    assert any("intermediate_0.linear tile 4, pe 12: 3072 products a cycle for 3072 x 768" in note for note in notes)


BAD_CONFIGS = {
    "unknown layer": (lambda c: c.update(attention_9={}), "attention_9 = .present.: no such layer or size"),
    "layer missing": (lambda c: c.pop("intermediate_0"), "intermediate_0 = .absent.: the layer is missing"),
    "layer twice": (lambda c: c["cluster"][0].append("attention_0"), "attention_0: the layer stands 2 times"),
    "layer in no cluster": (lambda c: c["cluster"][0].remove("attention_0"), "attention_0: the layer is in no cluster"),
    "cluster names nothing": (lambda c: c["cluster"][0].append("attention_x"), "attention_x: no such layer"),
    "size missing": (lambda c: c.pop("hidden_size"), "hidden_size = .absent."),
    "size is text": (lambda c: c.update(hidden_size="wide"), "hidden_size = wide: a whole number"),
    "too long": (lambda c: c.update(max_sentence_len=4096), "max_sentence_len = 4096: must be 1 to 512"),
    "layers": (lambda c: c.update(num_layer_per_encoder=9), "num_layer_per_encoder = 9: an encoder has the 8 layers"),
    "outputs": (lambda c: c["intermediate_0"]["config"][0]["dim"].update(M=500), "intermediate_0.linear.M = 500: the sizes make 512"),
    "inputs": (lambda c: c["intermediate_0"]["config"][0]["dim"].update(K=512), "intermediate_0.linear.K = 512: the sizes make 256"),
    "pe": (lambda c: c["intermediate_0"]["config"][0]["dim"].update(pe=3), "linear.pe = 3: .*choose a divisor of 4"),
    "tile": (lambda c: c["intermediate_0"]["config"][0]["dim"].update(tile=7), "linear.tile = 7: 512 outputs do not divide"),
    "unit missing": (lambda c: c["intermediate_0"]["config"].pop(1), "intermediate_0.config = gelu: the unit is missing"),
    "unit unknown": (lambda c: c["attention_1"]["config"][0].update(name="relu"), "units of this layer are attention_matmul, softmax"),
    "dim missing": (lambda c: c["attention_1"]["config"][0].pop("dim"), "the unit has pe"),
    "partition": (lambda c: c["attention_0"].update(partition=3), "attention_0.partition = 3: 256 outputs do not divide"),
    "partition missing": (lambda c: c["attention_0"].pop("partition"), "attention_0.partition = .absent."),
    "board": (lambda c: c["attention_0"].pop("board"), "attention_0.board = .absent.: a name is needed"),
}


@pytest.mark.parametrize("name", sorted(BAD_CONFIGS))
def test_bad_configs(name: str, tmp_path: Path) -> None:
    change, message = BAD_CONFIGS[name]
    value = json.loads((SAMPLES / "config.json").read_text(encoding="utf-8"))
    change(value)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(value), encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_config(path)


def test_what_the_plan_refuses_is_told_and_not_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    value = copy.deepcopy(json.loads((SAMPLES / "config.json").read_text(encoding="utf-8")))
    value["num_attention_heads"] = 5
    value["attention_0"]["part"] = "xcu250\nname: evil"
    path = tmp_path / "config.json"
    path.write_text(json.dumps(value), encoding="utf-8")
    assert main(["import-config", str(path), "--name", "built", "--out", str(tmp_path)]) == 2
    assert "5 heads of a hidden size of 256" in capsys.readouterr().err
    assert not (tmp_path / "built").exists()
    value["num_attention_heads"] = 4
    path.write_text(json.dumps(value), encoding="utf-8")
    assert main(["import-config", str(path), "--name", "built", "--out", str(tmp_path)]) == 0
    assert "# " + "  part xcu250 name: evil of attention_0" in (tmp_path / "built" / "project.yaml").read_text(encoding="utf-8")


# ------------------------------------------------------------------ cluster.addresses


@pytest.mark.parametrize(
    ("addresses", "message"),
    [
        ('{node0: {mac: "02:f1:0e:00:00:01", ip: 10.0.0.1}}', "node0 and node1 have the same address"),
        ('{node0: {mac: "02:00:00:00:00:09", ip: 10.17.0.3}}', "node0 and host have the same address"),
        ('{nodex: {mac: "02:00:00:00:00:09", ip: 10.0.0.1}}', "no node has this name; known: node0, node1, host"),
        ("{node0: {ip: 10.0.0.1}}", "cluster.addresses.node0.mac = .absent."),
        ('{node0: {mac: "02:00:00:00:00:09", ip: 10.0.0.1, port: 2}}', "unknown key; known: mac, ip"),
        ('{node0: {mac: "03:00:00:00:00:09", ip: 10.0.0.1}}', "marks a group address"),
        ("[1]", "cluster.addresses"),
    ],
)
def test_addresses_that_are_refused(addresses: str, message: str, tmp_path: Path) -> None:
    text = find_project("tiny_2").read_text(encoding="utf-8").replace("name: tiny_2", "name: here")
    path = tmp_path / "here" / "project.yaml"
    path.parent.mkdir()
    path.write_text(text.replace("  ip_base: 10.17.0.1", f"  ip_base: 10.17.0.1\n  addresses: {addresses}"), encoding="utf-8")
    with pytest.raises(InputError, match=message):
        load_project(path)


def test_two_ports_take_base_addresses_only(tmp_path: Path) -> None:
    text = find_project("tiny_3_ring").read_text(encoding="utf-8").replace("name: tiny_3_ring", "name: here")
    path = tmp_path / "here" / "project.yaml"
    path.parent.mkdir()
    entry = '  ip_base: 10.17.0.1\n  addresses: {node0: {mac: "02:00:00:00:00:09", ip: 10.0.0.1}}'
    path.write_text(text.replace("  ip_base: 10.17.0.1", entry), encoding="utf-8")
    with pytest.raises(InputError, match="a node has 2 ports here"):
        load_project(path)
