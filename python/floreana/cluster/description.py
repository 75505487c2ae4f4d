# SPDX-License-Identifier: Apache-2.0
"""The description of a project, ``fpga_projects/<name>/project.yaml``: read, checked, every error reported at once.

Keys and rules: docs/mapping.md. Each error names file, line, key, value, limit and remedy.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema
from pydantic_core import ErrorDetails, PydanticCustomError

from floreana.boards import boards
from floreana.cluster.topology import (
    CHAIN_NODES_MAX,
    ETH_PORTS,
    PEERS_MAX,
    PORT_STEP,
    RING_NODES_MIN,
    RoutingName,
    TopologyName,
    find_cycle,
    reach,
)
from floreana.errors import InputError
from floreana.ibert.params import SOFTMAX_MODES

SLICE_BYTES = 64  # a slice is whole beats
MAX_NODES = 255  # of a project
CLUSTER_NODES_MAX = PEERS_MAX - 1  # an Ethernet port has 64 peers: the nodes and the host
MAX_ROW_BYTES = 4096  # the slice offset has 10 bits in units of 4 bytes
HEAD_DIMS = (32, 64)
MAX_REGISTER = (1 << 24) - 1  # registers of an Ethernet port have 24 bits
MAX_LINK_DELAY = 100_000  # cycles, 0.5 ms: with it the registers that follow from it fit for any number of nodes
DEFAULT_BOARD = "sidewinder"
MAX_YAML_DEPTH = 16
MAX_YAML_VALUES = 10_000
_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_KeyPath = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a description."""

    file: str
    line: int
    key: str
    value: str
    limit: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.key} = {self.value}: {self.limit}; {self.remedy}"


class ProjectError(InputError):
    """A description with at least one problem; ``problems`` lists all of them in order of line."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = sorted(problems, key=lambda p: (p.line, p.key, p.limit))
        count = len(problems)
        head = f"{problems[0].file}: {count} error{'s' if count > 1 else ''}"
        super().__init__("\n".join([head, *(f"  {problem}" for problem in self.problems)]))


def _refuse(limit: str, remedy: str) -> PydanticCustomError:
    return PydanticCustomError("floreana", "{limit}", {"limit": limit, "remedy": remedy})


def _parse_name(value: object) -> object:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise _refuse("a name is a lower-case letter, then at most 31 lower-case letters, digits or _", "choose such a name")
    return value


def _parse_mac(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool):  # from JSON or from a copy of a model
        value = format_mac(value) if 0 <= value < 1 << 48 else str(value)
    if not isinstance(value, str) or not re.fullmatch(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}", value):
        raise _refuse("a MAC address is six pairs of hexadecimal digits", 'write it quoted: "02:f1:0e:00:00:00"')
    number = int(value.replace(":", ""), 16)
    if number >> 40 & 1:
        raise _refuse("bit 0 of the first byte marks a group address", "make the first byte even, for example 02")
    return number


def _parse_ip(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool):
        value = format_ip(value) if 0 <= value < 1 << 32 else str(value)
    try:
        return int(ipaddress.IPv4Address(str(value)))
    except ValueError:
        raise _refuse("an IPv4 address is four numbers from 0 to 255", "write it as 10.17.0.1") from None


def _parse_nodes(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool):
        if not 1 <= value <= MAX_NODES:
            raise _refuse(f"a project has 1 to {MAX_NODES} nodes", f"choose 1 to {MAX_NODES} nodes")
        return tuple(f"node{k}" for k in range(value))
    if isinstance(value, (list, tuple)):
        if not 1 <= len(value) <= MAX_NODES:
            raise _refuse(f"a project has 1 to {MAX_NODES} nodes", f"name 1 to {MAX_NODES} nodes")
        for name in value:
            _parse_name(name)
        if len(set(value)) != len(value):
            twice = sorted({name for name in value if value.count(name) > 1})
            raise _refuse(f"node names are unique, but {', '.join(twice)} repeats", "give each node its own name")
        return tuple(value)
    raise _refuse("nodes is a count or a list of names", "write nodes: 6, or nodes: [left, right]")


def _parse_board(value: object) -> object:
    known = list(boards())
    if not isinstance(value, str) or value not in known:
        raise _refuse(f"no board of that name; known: {', '.join(known)}", _nearest_of(value, known, "choose one of these"))
    return value


def _parse_boards(value: object) -> object:
    if not isinstance(value, dict):
        raise _refuse("boards maps names of nodes to boards", "write boards: {node0: u55c}")
    for name, board in value.items():
        _parse_name(name)
        try:
            _parse_board(board)
        except PydanticCustomError as error:
            context = error.context or {}
            raise _refuse(f"{name}: {board}: {context['limit']}", str(context["remedy"])) from None
    return dict(value)


def _parse_links(value: object) -> object:
    pairs = [tuple(pair) if isinstance(pair, (list, tuple)) else () for pair in value] if isinstance(value, (list, tuple)) else [()]
    if any(len(pair) != 2 for pair in pairs):
        raise _refuse("links is a list of pairs of nodes, a pair for each cable", "write links: [[left, middle], [middle, right]]")
    for pair in pairs:
        for name in pair:
            _parse_name(name)
    return tuple(pairs)


def _parse_softmax(value: object) -> object:
    words = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, (list, tuple)) else ()
    if not words or not all(isinstance(word, str) and word in SOFTMAX_MODES for word in words):
        known = " or ".join(SOFTMAX_MODES)
        raise _refuse(f"softmax is {known}, one for all encoders or a list with one for each", f"choose {known}")
    return words


def _parse_groups(value: object) -> object:
    number = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= CLUSTER_NODES_MAX
    if not number and value is not None and value != "auto":
        raise _refuse(f"groups is a number from 1 to {CLUSTER_NODES_MAX}, or auto", "choose such a number, or auto")
    return value


def format_mac(value: int) -> str:
    """``02:f1:0e:00:00:00`` from 48 bits."""
    return ":".join(f"{value >> shift & 255:02x}" for shift in range(40, -1, -8))


def format_ip(value: int) -> str:
    """Dotted quad from 32 bits."""
    return str(ipaddress.IPv4Address(value))


# Beside each validator what the JSON schema says of the value as it is written
_NAME_SCHEMA: dict[str, Any] = {"type": "string", "pattern": f"^{_NAME.pattern}$"}
_MAC_SCHEMA: dict[str, Any] = {"type": "string", "pattern": "^[0-9a-fA-F][02468aceACE](:[0-9a-fA-F]{2}){5}$"}
_IP_SCHEMA: dict[str, Any] = {"type": "string", "format": "ipv4"}
_NODES_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "integer", "minimum": 1, "maximum": MAX_NODES},
        {"type": "array", "items": _NAME_SCHEMA, "minItems": 1, "maxItems": MAX_NODES, "uniqueItems": True},
    ]
}
_SOFTMAX_SCHEMA: dict[str, Any] = {
    "anyOf": [{"enum": list(SOFTMAX_MODES)}, {"type": "array", "items": {"enum": list(SOFTMAX_MODES)}, "minItems": 1}]
}
_BOARD_SCHEMA: dict[str, Any] = {"enum": list(boards())}
_BOARDS_SCHEMA: dict[str, Any] = {"type": "object", "propertyNames": _NAME_SCHEMA, "additionalProperties": _BOARD_SCHEMA}

Name = Annotated[str, BeforeValidator(_parse_name), WithJsonSchema(_NAME_SCHEMA)]
MacAddress = Annotated[int, BeforeValidator(_parse_mac), WithJsonSchema(_MAC_SCHEMA)]
IpAddress = Annotated[int, BeforeValidator(_parse_ip), WithJsonSchema(_IP_SCHEMA)]
BoardName = Annotated[str, BeforeValidator(_parse_board), WithJsonSchema(_BOARD_SCHEMA)]
BoardNames = Annotated[dict[str, str], BeforeValidator(_parse_boards), WithJsonSchema(_BOARDS_SCHEMA)]
_GROUPS_SCHEMA: dict[str, Any] = {"anyOf": [{"type": "integer", "minimum": 1, "maximum": CLUSTER_NODES_MAX}, {"const": "auto"}]}
GroupsNumber = Annotated[int | Literal["auto"] | None, BeforeValidator(_parse_groups), WithJsonSchema(_GROUPS_SCHEMA)]
NodeNames = Annotated[tuple[str, ...], BeforeValidator(_parse_nodes), WithJsonSchema(_NODES_SCHEMA)]
_LINKS_SCHEMA: dict[str, Any] = {"type": "array", "items": {"type": "array", "items": _NAME_SCHEMA, "minItems": 2, "maxItems": 2}}
Links = Annotated[tuple[tuple[str, str], ...], BeforeValidator(_parse_links), WithJsonSchema(_LINKS_SCHEMA)]
SoftmaxNames = Annotated[tuple[str, ...], BeforeValidator(_parse_softmax), WithJsonSchema(_SOFTMAX_SCHEMA)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, protected_namespaces=(), use_attribute_docstrings=True)


class MinilmModel(_Section):
    """The trained model all-MiniLM-L6-v2; its sizes are fixed."""

    source: Literal["minilm"] = "minilm"
    softmax: SoftmaxNames = ("published",)
    """When attention divides by the sum of a row's exponentials: one for all encoders, or a list with one for each."""

    @property
    def hidden(self) -> int:
        return 384

    @property
    def heads(self) -> int:
        return 12

    @property
    def ffn(self) -> int:
        return 1536

    @property
    def encoders(self) -> int:
        return 6


class SyntheticModel(_Section):
    """A random model of any size, from a seed."""

    source: Literal["synthetic"] = "synthetic"
    hidden: int = Field(ge=64, le=MAX_ROW_BYTES // 4, json_schema_extra={"multipleOf": 64})
    """Channels of a row."""
    heads: int = Field(ge=1)
    """Attention heads: hidden / 32 or hidden / 64."""
    ffn: int = Field(ge=64, json_schema_extra={"multipleOf": 64})
    """Channels between the two FFN layers."""
    encoders: int = Field(ge=1)
    """Encoders, one behind the other."""
    vocab: int = Field(default=100, ge=2, le=1 << 20)
    """Words of the random model."""
    seed: int = Field(default=1, ge=0, lt=1 << 32)
    """Seed of the random model."""
    softmax: SoftmaxNames = ("published",)
    """When attention divides by the sum of a row's exponentials: one for all encoders, or a list with one for each."""


class AddressSection(_Section):
    """The addresses of one node's port."""

    mac: MacAddress
    ip: IpAddress


class ChainSection(_Section):
    """One cluster of a chain."""

    nodes: NodeNames
    """Its nodes; as many as the other clusters have."""
    next: Name | None = None
    """The cluster whose gateway takes its rows; without it they return to the host."""


HOST_NAME = "host"  # stands for the host in cluster.addresses


class ClusterSection(_Section):
    """Nodes, their cabling and addresses: node k has mac_base + k and ip_base + k, the host comes after the last node.

    A second Ethernet port has 128 more. ``addresses`` replaces those of the nodes it names. ``routing`` None: what is right for the
    topology. ``clusters``: nodes and encoders in so many even parts, in order, chained through gateways. ``links`` and ``chain`` stand
    only in what is written: :func:`load_description` puts ``nodes`` in the order that follows from them.
    """

    nodes: NodeNames = ()
    """A count, or the nodes' names; at most 63 in a cluster, 31 in each of several clusters, in a line or in a ring."""
    clusters: int = Field(default=1, ge=1, le=CLUSTER_NODES_MAX)
    """Nodes and encoders in so many even parts, in order, chained through gateways."""
    chain: dict[str, ChainSection] = Field(default_factory=dict)
    """The clusters by name, in place of nodes and clusters; the order in which they compute follows from their next."""
    topology: TopologyName = "star"
    """How the nodes are cabled; a ring has at least 3."""
    links: Links | None = None
    """The cables of a line, or of a ring without those to the host's switch, as pairs of nodes; without it in the order of nodes."""
    routing: RoutingName | None = None
    """Which way messages take; without it what is right for the topology."""
    mac_base: MacAddress = Field(default=0x02F10E000000, json_schema_extra={"default": format_mac(0x02F10E000000)})
    """Node k has this MAC address plus k."""
    ip_base: IpAddress = Field(default=0x0A110001, json_schema_extra={"default": format_ip(0x0A110001)})
    """Node k has this IPv4 address plus k."""
    board: BoardName = DEFAULT_BOARD
    """The board of every node, for the Vivado projects."""
    boards: BoardNames = Field(default={})
    """Nodes that have another board than the rest, by name."""

    addresses: dict[str, AddressSection] = Field(default_factory=dict)
    """Addresses of the nodes named here, and of the host, in place of base plus k; one port a node only."""

    def board_of(self, name: str) -> str:
        """Name of a node's board."""
        return self.boards.get(name, self.board)

    def address(self, node: int, port: int, port_step: int) -> tuple[int, int]:
        """MAC and IPv4 address of a node's port; the host is the node after the last."""
        named = self.addresses.get(self.nodes[node] if node < len(self.nodes) else HOST_NAME)
        if named is not None:
            return named.mac, named.ip
        offset = node + port_step * port
        return self.mac_base + offset, self.ip_base + offset


class Priorities(_Section):
    """Order in which ready rows are served by `linear`: 0 first."""

    qkv: int = Field(default=0, ge=0, le=3)
    out: int = Field(default=1, ge=0, le=3)
    ffn1: int = Field(default=2, ge=0, le=3)
    ffn2: int = Field(default=3, ge=0, le=3)


class PlaceSection(_Section):
    """Names of the nodes that share each operator, in order; several nodes take even shares of its columns.

    They are nodes of the first group of the first cluster; the others use the same positions.
    """

    qkv: NodeNames
    attention: NodeNames
    out: NodeNames
    ln1: NodeNames
    ffn1: NodeNames
    ffn2: NodeNames
    ln2: NodeNames


class _Mapping(_Section):
    """How the model is laid over the nodes."""

    strategy: Any
    objective: Literal["latency", "throughput"] = "latency"
    """What the mapper makes least: cycles of a sequence, or cycles between sequences."""
    owners: Literal["rotate"] = "rotate"
    """Row t is normalised on node t mod nodes."""
    groups: Any
    place: PlaceSection | None = None
    """Who shares which operator, in strategy pipeline; without it the mapper chooses."""
    priorities: Priorities = Priorities()
    """Which ready row linear takes first: 0 before all."""


class MappingSection(_Mapping):
    """How the model is laid over the nodes, nothing open. ``place`` belongs to ``pipeline``, which needs it."""

    strategy: Literal["tensor", "pipeline"] = "tensor"
    groups: int = Field(default=1, ge=1, le=CLUSTER_NODES_MAX)


class OpenMapping(_Mapping):
    """How the model is laid over the nodes. ``groups`` absent: 1, with strategy auto what the mapper chooses."""

    strategy: Literal["tensor", "pipeline", "auto"] = "tensor"
    """Every node holds a slice of every operator; or each operator has its nodes (place); or what the mapper finds best (auto)."""
    groups: GroupsNumber = None
    """Nodes in so many even groups: each computes as many encoders, one after the other; auto: the mapper chooses."""

    @property
    def open(self) -> bool:
        """True where the mapper places operators."""
        return self.strategy == "auto" or (self.strategy == "pipeline" and self.place is None)


K_LANES, OUT_N, LANES = (16, 32, 64), (16, 32, 48, 64), (1, 2, 4, 8, 16)  # legal values of the parameters below
DEFAULT_LANES = {"k_lanes": 64, "out_n": 48, "post_lanes": 8, "norm_lanes": 16}


class _Build(_Section):
    """Parameters of the node, the same for all nodes."""

    k_lanes: Any
    out_n: Any
    post_lanes: Any
    norm_lanes: Any
    max_tokens: int = Field(default=128, ge=1, le=512)
    """Rows of a sequence that every store holds."""
    slots: Literal[1, 2] = 2
    """Sequences in flight."""
    eth_ports: Literal[1, 2] | None = None
    """Ethernet ports of a node; without it what the topology needs."""


class BuildSection(_Build):
    """Parameters of the node, nothing open."""

    k_lanes: Literal[16, 32, 64] = 64
    out_n: Literal[16, 32, 48, 64] = 48
    post_lanes: Literal[1, 2, 4, 8, 16] = 8
    norm_lanes: Literal[1, 2, 4, 8, 16] = 16


class OpenBuild(_Build):
    """Parameters of the node, the same for all nodes. The mapper chooses those that are auto, or absent where it places operators."""

    k_lanes: Literal[16, 32, 64, "auto"] | None = None
    """Inputs of the multiplier array; absent: 64."""
    out_n: Literal[16, 32, 48, 64, "auto"] | None = None
    """Outputs of the multiplier array; absent: 48."""
    post_lanes: Literal[1, 2, 4, 8, 16, "auto"] | None = None
    """Results that linear requantises a cycle; absent: 8."""
    norm_lanes: Literal[1, 2, 4, 8, 16, "auto"] | None = None
    """Channels that add_norm takes a cycle; absent: 16."""


class TransportSection(_Section):
    """Registers of the Ethernet ports, in cycles; None is computed from ``link_delay``, the cycles a frame takes from port to port."""

    link_delay: int = Field(default=220, ge=0, le=MAX_LINK_DELAY)
    """Cycles from the last beat at a port to the last beat at the next."""
    ack_delay: int | None = Field(default=None, ge=0, le=MAX_REGISTER)
    """Cycles until an acknowledgement is sent alone."""
    rto: int | None = Field(default=None, ge=1, le=MAX_REGISTER)
    """Cycles without progress until everything unacknowledged is sent again."""
    retries: int | None = Field(default=None, ge=24, le=MAX_REGISTER)
    """Expiries in a row until a link is failed."""
    keep: int | None = Field(default=None, ge=0, le=MAX_REGISTER)
    """Cycles of silence until a peer is asked whether it lives; 0: never."""
    nack_hold: int | None = Field(default=None, ge=1, le=MAX_REGISTER)
    """Cycles between two negative acknowledgements."""


class _Described(_Section):
    """What description and project have in common."""

    name: Name
    """The folder's name."""
    model: MinilmModel | SyntheticModel
    """The trained model all-MiniLM-L6-v2, or a random one of any size."""
    cluster: ClusterSection
    mapping: Any
    build: Any
    transport: TransportSection = TransportSection()


class Project(_Described):
    """A checked description, nothing open. ``model`` has ``source``, ``hidden``, ``heads``, ``ffn``, ``encoders`` in either case."""

    mapping: MappingSection = MappingSection()
    build: BuildSection = BuildSection()

    @property
    def nodes(self) -> int:
        return len(self.cluster.nodes)

    @property
    def clusters(self) -> int:
        return self.cluster.clusters

    def members(self, cluster: int) -> tuple[int, ...]:
        """Nodes of a cluster."""
        count = self.nodes // self.clusters
        return tuple(range(cluster * count, (cluster + 1) * count))

    def teams(self, cluster: int) -> list[tuple[int, ...]]:
        """Nodes of a cluster's groups, ``mapping.groups``: each computes as many encoders, one after the other."""
        members, groups = self.members(cluster), self.mapping.groups
        count = len(members) // groups
        return [members[k * count : (k + 1) * count] for k in range(groups)]

    def place(self, operator: str, members: tuple[int, ...]) -> tuple[int, ...]:
        """Those of a group's ``members`` that share an operator, a key of :class:`PlaceSection`: all in strategy ``tensor``.

        ``mapping.place`` names nodes of the first group of the first cluster; in all others it is the nodes at the same positions.
        """
        if self.mapping.place is None:
            return members
        return tuple(members[self.cluster.nodes.index(name)] for name in getattr(self.mapping.place, operator))


class Description(_Described):
    """A checked description as it is written: the mapper decides what is open (docs/mapper.md)."""

    mapping: OpenMapping = OpenMapping()
    build: OpenBuild = OpenBuild()

    @property
    def open(self) -> dict[str, bool]:
        """What the mapper chooses: place, groups, and the parameters of the node."""
        whole, build = self.mapping.open, self.build
        lanes = {name: getattr(build, name) == "auto" or (whole and getattr(build, name) is None) for name in DEFAULT_LANES}
        groups = self.mapping.groups == "auto" or (self.mapping.strategy == "auto" and self.mapping.groups is None)
        return {"place": whole, "groups": groups, **lanes}

    def decided(self, **values: Any) -> Project:
        """The project with ``strategy``, ``groups``, ``place`` and parameters of the node as given; the rest as it is written."""
        mapping = {name: getattr(self.mapping, name) for name in OpenMapping.model_fields} | {"groups": self.mapping.groups or 1}
        build = {name: getattr(self.build, name) for name in OpenBuild.model_fields}
        build |= {name: build[name] or default for name, default in DEFAULT_LANES.items()}
        for name, value in values.items():
            (mapping if name in mapping else build)[name] = value
        return Project(
            name=self.name,
            model=self.model,
            cluster=self.cluster,
            mapping=MappingSection(**mapping),
            build=BuildSection(**build),
            transport=self.transport,
        )


_MODELS: dict[str, type[_Section]] = {"minilm": MinilmModel, "synthetic": SyntheticModel}
_REQUIRED = ("name", "model", "cluster")


def project_schema() -> dict[str, Any]:
    """JSON schema (draft 2020-12) of a description, for editors. What depends on several keys only ``load_project`` checks."""
    schema = Description.model_json_schema()
    for section in _MODELS.values():  # the loader needs it to tell the models apart
        schema["$defs"][section.__name__].setdefault("required", []).insert(0, "source")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "project.yaml of Floreana"}


def legal_node_counts(hidden: int, heads: int, ffn: int) -> list[int]:
    """Node counts over which heads, hidden and FFN divide into whole 64-byte slices."""
    return [p for p in range(1, CLUSTER_NODES_MAX + 1) if not _node_count_limits(p, hidden, heads, ffn)]


def _node_count_limits(nodes: int, hidden: int, heads: int, ffn: int) -> list[str]:
    limits = []
    if heads % nodes:
        limits.append(f"{heads} heads do not divide over {nodes} nodes ({heads} mod {nodes} = {heads % nodes})")
    elif (heads // nodes) * (hidden // heads) % SLICE_BYTES:
        limits.append(
            f"the heads of a node are {heads // nodes} x {hidden // heads} = {hidden // nodes} bytes, not a multiple of {SLICE_BYTES}"
        )
    if ffn % nodes:
        limits.append(f"FFN {ffn} does not divide over {nodes} nodes ({ffn} mod {nodes} = {ffn % nodes})")
    elif ffn // nodes % SLICE_BYTES:
        limits.append(f"FFN {ffn} over {nodes} nodes is {ffn // nodes} bytes a node, not a multiple of {SLICE_BYTES}")
    return limits


def share_limits(count: int, hidden: int, heads: int, ffn: int) -> dict[str, list[str]]:
    """What forbids ``count`` nodes for each operator of ``pipeline``."""
    found = _node_count_limits(count, hidden, heads, ffn)
    of_ffn = [limit for limit in found if limit.startswith("FFN")]
    of_heads = [limit for limit in found if not limit.startswith("FFN")]
    return {"qkv": of_heads, "attention": of_heads, "out": of_heads, "ffn1": of_ffn, "ffn2": of_ffn}


class _Source:
    """The parsed text: plain values, the line of every key, and the problems found so far."""

    def __init__(self, path: Path) -> None:
        self.file = _relative(path)
        self.lines: dict[_KeyPath, int] = {(): 1}
        self.problems: list[Problem] = []
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise InputError(f"{self.file}: no such file; a project is described by fpga_projects/<name>/project.yaml") from None
        except UnicodeDecodeError as error:
            raise InputError(f"{self.file}: not UTF-8 at byte {error.start}; save it as UTF-8") from None
        except OSError as error:
            raise InputError(f"{self.file}: cannot be read: {error.strerror}") from None
        try:
            root = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise InputError(f"{self.file}:{line}: not YAML: {error.problem}; correct the line") from None
        except yaml.YAMLError as error:
            raise InputError(f"{self.file}: not YAML: {' '.join(str(error).split())}; correct the file") from None
        self.built = 0
        value = None if root is None else self._build(root, (), 0)
        if not isinstance(value, dict):
            raise InputError(f"{self.file}:1: a description is a mapping of keys to values; known: {_known(Description)}")
        self.value: dict[str, Any] = value

    def _build(self, node: Any, path: _KeyPath, depth: int) -> Any:
        self.built += 1  # aliases can make a small file large
        if depth > MAX_YAML_DEPTH or self.built > MAX_YAML_VALUES:
            raise InputError(
                f"{self.file}:{node.start_mark.line + 1}: more than {MAX_YAML_DEPTH} levels or"
                f" {MAX_YAML_VALUES} values; a description is smaller than that"
            )
        if isinstance(node, yaml.MappingNode):
            mapping: dict[str, Any] = {}
            for key_node, value_node in node.value:
                key = str(key_node.value) if isinstance(key_node, yaml.ScalarNode) else "?"
                line = key_node.start_mark.line + 1
                if key in mapping:
                    first = self.lines[(*path, key)]
                    self.problems.append(
                        Problem(
                            self.file,
                            line,
                            _dotted((*path, key)),
                            "(repeated)",
                            f"the key stands in line {first} already",
                            "remove one",
                        )
                    )
                    continue
                self.lines[(*path, key)] = line
                mapping[key] = self._build(value_node, (*path, key), depth + 1)
            return mapping
        if isinstance(node, yaml.SequenceNode):
            items = []
            for index, item in enumerate(node.value):
                self.lines[(*path, index)] = item.start_mark.line + 1
                items.append(self._build(item, (*path, index), depth + 1))
            return items
        loader = yaml.SafeLoader("")
        try:
            return loader.construct_object(node)
        except (yaml.YAMLError, ValueError) as error:
            line = node.start_mark.line + 1
            raise InputError(f"{self.file}:{line}: {_dotted(path)}: {' '.join(str(error).split())}") from None
        finally:
            loader.dispose()

    def line(self, path: _KeyPath) -> int:
        while path not in self.lines:
            path = path[:-1]
        return self.lines[path]

    def add(self, path: _KeyPath, value: object, limit: str, remedy: str) -> None:
        self.problems.append(Problem(self.file, self.line(path), _dotted(path), _show(value), limit, remedy))

    def add_details(self, prefix: _KeyPath, section: type[BaseModel], details: ErrorDetails) -> None:
        """Turn one pydantic error into a problem."""
        path: _KeyPath = (*prefix, *details["loc"])
        kind, context = details["type"], details.get("ctx", {})
        if kind == "floreana":
            limit, remedy = str(context["limit"]), str(context["remedy"])
        elif kind == "extra_forbidden":
            owner = _owner(section, details["loc"][:-1])
            limit, remedy = f"unknown key; known: {_known(owner)}", _nearest(str(path[-1]), list(owner.model_fields))
        elif kind == "missing":
            self.add(path, None, "this key is required", f"add {path[-1]}")
            return
        elif kind == "int_type":
            limit, remedy = "an integer is needed", "write a whole number, without quotes"
        elif kind == "literal_error":
            limit, remedy = "not a known value", f"choose {context['expected']}"
        elif kind in ("greater_than_equal", "less_than_equal", "less_than"):
            bound, word = (context["ge"], "least") if kind == "greater_than_equal" else (context.get("le"), "most")
            bound = bound if bound is not None else context["lt"] - 1
            limit, remedy = f"must be at {word} {bound}", f"choose a value of at {word} {bound}"
        else:
            limit, remedy = details["msg"], "correct the value"
        self.add(path, details["input"], limit, remedy)

    def section(self, key: str, section: type[_Section], default: bool) -> Any:
        """Validate one section; None where it has a problem."""
        if key not in self.value:
            if not default:
                self.add((key,), None, "this key is required", f"add {key}: {_known(section)}")
                return None
            return section()
        raw = self.value[key]
        if not isinstance(raw, dict):
            self.add((key,), raw, "a mapping of keys to values is needed", f"write the keys below it: {_known(section)}")
            return None
        try:
            return section.model_validate(raw)
        except ValidationError as error:
            for details in error.errors(include_url=False):
                self.add_details((key,), section, details)
            return None


def _relative(path: Path) -> str:
    try:
        return path.resolve().relative_to(Path.cwd().resolve()).as_posix()
    except ValueError:
        return path.as_posix()


def _dotted(path: _KeyPath) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _show(value: object) -> str:
    if value is None:
        return "(absent)"
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _known(section: type[BaseModel]) -> str:
    return ", ".join(section.model_fields)


def _owner(section: type[BaseModel], loc: _KeyPath) -> type[BaseModel]:
    for part in loc:
        if str(part) in ("addresses", "chain"):  # by name
            section = AddressSection if part == "addresses" else ChainSection
            continue
        if str(part) not in section.model_fields:  # a name of cluster.addresses or cluster.chain
            continue
        annotation = section.model_fields[str(part)].annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            section = annotation
    return section


def _multiples(value: int) -> str:
    below = value // SLICE_BYTES * SLICE_BYTES
    return f"{below} or {below + SLICE_BYTES}"


def _either(values: Sequence[object]) -> str:
    head = ", ".join(map(str, values[:-1]))
    return f"{head} or {values[-1]}" if head else str(values[-1])


def _nearest(word: str, known: list[str]) -> str:
    return _nearest_of(word, known, "remove it")


def _nearest_of(word: object, known: list[str], else_: str) -> str:
    close = difflib.get_close_matches(str(word), known, n=1)
    return f"did you mean {close[0]}?" if close else else_


def _check_model(source: _Source, model: MinilmModel | SyntheticModel) -> bool:
    """Rules between the sizes of the model. True where the sizes can be divided over nodes at all."""
    before = len(source.problems)
    hidden, heads = model.hidden, model.heads
    if len(model.softmax) not in (1, model.encoders):
        limit = f"{len(model.softmax)} words for {model.encoders} encoders"
        source.add(("model", "softmax"), ", ".join(model.softmax), limit, f"write one for all, or {model.encoders}")
    if hidden % SLICE_BYTES:
        source.add(
            ("model", "hidden"),
            hidden,
            f"must be a multiple of {SLICE_BYTES} (a row is whole beats)",
            f"choose {_multiples(hidden)}",
        )
    if hidden % heads or hidden // heads not in HEAD_DIMS:
        fits = [str(hidden // size) for size in HEAD_DIMS if hidden % size == 0]
        source.add(
            ("model", "heads"),
            heads,
            f"{heads} heads of a hidden size of {hidden} are {hidden / heads:g} channels each; a head has 32 or 64",
            f"choose {' or '.join(fits)} heads" if fits else "choose a hidden size that is a multiple of 64",
        )
    if model.ffn % SLICE_BYTES:
        source.add(
            ("model", "ffn"),
            model.ffn,
            f"must be a multiple of {SLICE_BYTES} (a row is whole beats)",
            f"choose {_multiples(model.ffn)}",
        )
    return len(source.problems) == before


def _in_chain(source: _Source, cluster: ClusterSection) -> ClusterSection:
    """The cluster with ``nodes`` and ``clusters`` out of its ``chain``: from the one that no other names as its next to the last one."""
    chain, path = cluster.chain, ("cluster", "chain")
    for name in ("nodes", "clusters"):
        if name in cluster.model_fields_set:
            source.add(("cluster", name), getattr(cluster, name), "the clusters of chain name their nodes", f"remove {name}, or chain")
    owner: dict[str, str] = {}
    into: dict[str, str] = {}
    for name, part in chain.items():
        for node in part.nodes:
            if (first := owner.setdefault(node, name)) != name:
                source.add((*path, name, "nodes"), node, f"cluster {first} has a node of that name", "give each node one cluster")
        if len(part.nodes) != len(next(iter(chain.values())).nodes):
            limit = f"{len(part.nodes)} nodes, but {next(iter(chain))} has {len(next(iter(chain.values())).nodes)}"
            source.add((*path, name, "nodes"), ", ".join(part.nodes), limit, "give all clusters of a chain as many nodes")
        if part.next is None:
            continue
        if part.next not in chain:
            remedy = _nearest_of(part.next, list(chain), f"choose from {', '.join(chain)}")
            source.add((*path, name, "next"), part.next, f"no cluster is named {part.next}", remedy)
        elif (other := into.setdefault(part.next, name)) != name:
            source.add(
                (*path, name, "next"), part.next, f"its gateway takes the rows of {other}, and of no other", "make one row of the clusters"
            )
    order = [name for name in chain if name not in into][:1]
    while order and (following := chain[order[-1]].next) in chain:
        order.append(str(following))
    left = [name for name in chain if name not in order]
    ring = find_cycle({name: [part.next] for name, part in chain.items() if part.next is not None})
    if ring:
        limit = f"the gateways go round in a circle, {' -> '.join([*ring, ring[0]])}: no row would return to the host"
        source.add((*path, ring[-1], "next"), ring[0], limit, "remove next of the last cluster")
    elif left:
        limit = f"rows of {order[-1]} return to the host, so none come to {', '.join(left)}"
        source.add((*path, order[-1], "next"), None, limit, f"add next: {left[0]}, or remove {left[0]}")
    nodes = tuple(node for name in [*order, *left] for node in chain[name].nodes)
    return cluster.model_copy(update={"nodes": nodes, "clusters": len(chain), "chain": {}})


def _along_links(source: _Source, cluster: ClusterSection) -> ClusterSection:
    """The cluster with ``nodes`` in the order in which its ``links`` cable them, from the end that ``nodes`` names first."""
    links, path, before = cluster.links or (), ("cluster", "links"), len(source.problems)
    cluster = cluster.model_copy(update={"links": None})
    if cluster.topology == "star":
        source.add(path, "(given)", "each node of a star has one cable, to the Ethernet switch", "remove it, or choose line or ring")
        return cluster
    others: dict[str, list[str]] = {name: [] for name in cluster.nodes}
    for number, (one, two) in enumerate(links):
        for name in sorted({one, two} - set(cluster.nodes)):
            remedy = _nearest_of(name, list(cluster.nodes), f"choose from {', '.join(cluster.nodes)}")
            source.add((*path, number), f"{one}, {two}", f"no node is named {name}", remedy)
        if one == two or two in others.get(one, []):
            limit = "a cable has two ends, at different nodes" if one == two else f"{one} and {two} have a link already"
            source.add((*path, number), f"{one}, {two}", limit, "remove it, or name another node")
        elif one in others and two in others:
            others[one].append(two)
            others[two].append(one)
    if len(source.problems) > before:
        return cluster
    for name, ends in others.items():
        if not ends and len(others) > 1:
            source.add(path, name, f"no link leads to node {name}: nothing would reach it", "add a link to it, or remove the node")
        elif len(ends) > 2:
            limit = f"node {name} has {len(ends)} links, to {', '.join(ends)}, and two ports"
            source.add(path, name, limit, f"leave at most two links at {name}")
    if len(source.problems) > before:
        return cluster
    first = next((name for name, ends in others.items() if len(ends) < 2), cluster.nodes[0])
    order = [first]
    while following := [name for name in others[order[-1]] if name not in order]:
        order.append(following[0])
    left = [name for name in cluster.nodes if name not in order]
    if len(others) > 1 and len(others[first]) == 2:
        limit = f"the links go round in a circle, {' - '.join([*order, first])}: no port is left for the host"
        source.add(path, f"{order[-1]}, {first}", limit, "remove that link; in a ring both ends are cabled to the host's switch")
    elif left:
        limit = f"no link joins {', '.join(order)} and {', '.join(left)}"
        source.add(path, f"{len(links)} links", limit, f"add a link from {order[-1]}")
    return cluster.model_copy(update={"nodes": tuple(order + left)})


def _arranged(source: _Source, cluster: ClusterSection) -> ClusterSection | None:
    """The cluster with ``nodes`` in the order that ``chain`` or ``links`` give; None where it has none."""
    if cluster.chain:
        cluster = _in_chain(source, cluster)
    if not cluster.nodes:
        source.add(("cluster", "nodes"), None, "this key is required", "add nodes: a count or a list of names")
        return None
    return cluster if cluster.links is None else _along_links(source, cluster)


def _check_cluster(source: _Source, cluster: ClusterSection, build: OpenBuild | None) -> None:
    """Rules of cabling and addresses; ``build`` None where it has problems of its own."""
    count, topology = len(cluster.nodes), cluster.topology
    if topology == "ring" and count < RING_NODES_MIN:
        limit = f"a ring has at least {RING_NODES_MIN} nodes, not {count}"
        source.add(("cluster", "topology"), topology, limit, f"choose line or star, or at least {RING_NODES_MIN} nodes")
    if topology != "star" and count > CHAIN_NODES_MAX:
        limit = f"a {topology} has at most {CHAIN_NODES_MAX} nodes (their managers have the numbers 193 to 223), not {count}"
        source.add(("cluster", "topology"), topology, limit, f"choose star, or at most {CHAIN_NODES_MAX} nodes")
    if cluster.routing == "dateline" and topology != "ring":
        limit = f"only a ring has a dateline; a {topology} has one way from node to node"
        source.add(("cluster", "routing"), cluster.routing, limit, "remove it, or choose shortest")
    ports = ETH_PORTS[topology] if build is None or build.eth_ports is None else build.eth_ports
    if topology != "star" and count > 1 and ports < ETH_PORTS[topology]:
        limit = f"a node of a {topology} has two neighbours and needs {ETH_PORTS[topology]} ports"
        source.add(("build", "eth_ports"), ports, limit, "choose 2, or remove it, or choose topology: star")
    if ports > 1 and count > PORT_STEP - 1:
        limit = f"port 1 of a node has the addresses of port 0 plus {PORT_STEP}, so {count} nodes of {ports} ports would share some"
        source.add(("cluster", "nodes"), count, limit, f"choose at most {PORT_STEP - 1} nodes, or eth_ports: 1")
    offset, whose = (count, "the host's address") if ports == 1 else (PORT_STEP + count - 1, "the address of the last node's port 1")
    if cluster.ip_base + offset > 0xFFFFFFFF:
        source.add(
            ("cluster", "ip_base"),
            format_ip(cluster.ip_base),
            f"{whose} would be the base plus {offset}, beyond 255.255.255.255",
            "choose a lower address",
        )
    if (cluster.mac_base & 0xFFFFFFFFFF) + offset > 0xFFFFFFFFFF:
        source.add(
            ("cluster", "mac_base"),
            format_mac(cluster.mac_base),
            f"{whose} would be the base plus {offset}, beyond the last five bytes",
            "choose a lower address",
        )


def _check_boards(source: _Source, cluster: ClusterSection, build: BuildSection | None) -> None:
    """Rules of ``board`` and ``boards``: their nodes exist, and each board has the ports that its node needs."""
    for name in cluster.boards:
        if name not in cluster.nodes:
            remedy = _nearest_of(name, list(cluster.nodes), f"choose from {', '.join(cluster.nodes)}")
            source.add(("cluster", "boards", name), cluster.boards[name], f"no node is named {name}", remedy)
    ports = ETH_PORTS[cluster.topology] if build is None or build.eth_ports is None else build.eth_ports
    others = [name for name, board in boards().items() if len(board.ports) >= ports]
    for name in sorted({cluster.board_of(node) for node in cluster.nodes}):
        have = len(boards()[name].ports)
        if have < ports:
            limit = (
                f"a node has {ports} Ethernet port{'s' if ports > 1 else ''}, {name} has {have or 'no'} 100G MAC{'s' if have > 1 else ''}"
            )
            at = next((node for node in cluster.nodes if cluster.boards.get(node) == name), None)
            path: _KeyPath = ("cluster", "board") if at is None else ("cluster", "boards", at)
            source.add(path, name, limit, f"choose {_either(others)}")


def _check_addresses(source: _Source, cluster: ClusterSection, build: BuildSection | None) -> None:
    """Rules of ``cluster.addresses``: names that exist, one port a node, each address once in the whole cluster."""
    if not cluster.addresses:
        return
    path: _KeyPath = ("cluster", "addresses")
    known = [*cluster.nodes, HOST_NAME]
    for name in cluster.addresses:
        if name not in known:
            limit = f"no node has this name; known: {', '.join(known)}"
            source.add((*path, name), name, limit, _nearest(name, known))
    if HOST_NAME in cluster.nodes and HOST_NAME in cluster.addresses:
        source.add((*path, HOST_NAME), HOST_NAME, "a node has the name that stands for the host", "give the node another name")
    ports = ETH_PORTS[cluster.topology] if build is None or build.eth_ports is None else build.eth_ports
    if ports > 1:
        limit = f"a node has {ports} ports here, and an entry has the addresses of one"
        source.add(path, ", ".join(cluster.addresses), limit, "use mac_base and ip_base, or a star of nodes with one port")
        return
    owners: dict[tuple[str, int], str] = {}
    for node, name in enumerate(known):
        for kind, value in zip(("mac", "ip"), cluster.address(node, 0, PORT_STEP), strict=True):
            first = owners.setdefault((kind, value), name)
            if first != name:
                where = name if name in cluster.addresses else first
                shown = format_mac(value) if kind == "mac" else format_ip(value)
                source.add((*path, where, kind), shown, f"{first} and {name} have the same address", "give each its own")


def _check_clusters(source: _Source, cluster: ClusterSection, model: MinilmModel | SyntheticModel | None) -> bool:
    """Rules of the size of clusters, and of a chain of them; True where the nodes divide."""
    count, nodes = cluster.clusters, len(cluster.nodes)
    share = -(-nodes // count)
    stations = reach(share, count)
    if stations > PEERS_MAX:
        parts = f"{share} nodes"
        if count > 1:
            parts += f", {share} of the cluster before" + (", the next gateway" if count > 2 else "")
        limit = f"an Ethernet port tells at most {PEERS_MAX} stations apart, here {stations}: the {parts} and the host"
        fit = max(size for size in range(1, share) if reach(size, max(count, 2)) <= PEERS_MAX)
        remedy = f"choose at most {CLUSTER_NODES_MAX} nodes" if count == 1 else f"choose clusters of at most {fit} nodes"
        source.add(("cluster", "nodes"), nodes, limit, remedy + (f", or several clusters of at most {fit}" if count == 1 else ""))
    if count == 1:
        return True
    path: _KeyPath = ("cluster", "clusters")
    if nodes % count:
        source.add(path, count, f"{nodes} nodes do not divide over {count} clusters", f"choose a multiple of {count} nodes")
    if model is not None and model.encoders % count:
        source.add(path, count, f"{model.encoders} encoders do not divide over {count} clusters", "choose a divisor of the encoders")
    if cluster.topology != "star":
        limit = f"clusters are chained over one Ethernet switch, not over a {cluster.topology}"
        source.add(path, count, limit, "choose topology: star, or clusters: 1")
    return nodes % count == 0


def _check_groups(source: _Source, cluster: ClusterSection, mapping: OpenMapping, model: MinilmModel | SyntheticModel | None) -> bool:
    """Rules of ``mapping.groups``; True where the nodes of a cluster divide."""
    groups, nodes = mapping.groups, len(cluster.nodes) // cluster.clusters
    if not isinstance(groups, int) or groups == 1:
        return True
    path: _KeyPath = ("mapping", "groups")
    a_cluster = " of a cluster" if cluster.clusters > 1 else ""
    if nodes % groups:
        limit = f"{nodes} nodes{a_cluster} do not divide over {groups} groups"
        source.add(path, groups, limit, f"choose a multiple of {groups} nodes, or fewer groups")
    if model is not None and model.encoders // cluster.clusters % groups:
        limit = f"{model.encoders // cluster.clusters} encoders{a_cluster} do not divide over {groups} groups"
        source.add(path, groups, limit, "choose a divisor of the encoders")
    return nodes % groups == 0


def _check_place(source: _Source, mapping: OpenMapping, cluster: ClusterSection, model: MinilmModel | SyntheticModel | None) -> None:
    """Rules of ``mapping.place``; ``model`` None where its sizes are not usable."""
    place = mapping.place
    if mapping.strategy != "pipeline" and place is not None:
        source.add(("mapping", "place"), "(given)", "only strategy pipeline places operators", "remove it, or choose strategy: pipeline")
        return
    if place is None:
        return
    groups = mapping.groups if isinstance(mapping.groups, int) else 1
    first = cluster.nodes[: max(len(cluster.nodes) // cluster.clusters // groups, 1)]
    part = "group" if groups > 1 else "cluster"
    for operator in PlaceSection.model_fields:
        path: _KeyPath = ("mapping", "place", operator)
        names: tuple[str, ...] = getattr(place, operator)
        unknown = [name for name in names if name not in first]
        if unknown:
            whose = "" if len(first) == len(cluster.nodes) else f" in the first {part}, whose places are those of all {part}s,"
            source.add(path, ", ".join(names), f"no node{whose} is named {', '.join(unknown)}", f"choose from {', '.join(first)}")
        if model is not None:
            for limit in share_limits(len(names), model.hidden, model.heads, model.ffn).get(operator, []):
                source.add(path, ", ".join(names), limit, "name another number of nodes")
    if place.ln1 != place.ln2 and (len(place.ln1) > 1 or len(place.ln2) > 1):
        limit = "rows rotate over the nodes of both LayerNorms alike"
        source.add(("mapping", "place", "ln2"), ", ".join(place.ln2), limit, "name the nodes of ln1, or one node for each LayerNorm")


def load_project(path: Path | str, nodes: int | None = None) -> Project:
    """Read and check a description, and have the mapper decide what is open in it; ``nodes`` overrides the node count of the file.

    Raises ProjectError (exit code 2) with every problem, or InputError where the file cannot be read or parsed at all, or nothing fits.
    """
    description = load_description(path, nodes)
    if not any(description.open.values()):
        return description.decided()
    from floreana.cluster.mapper import choose  # OR-Tools is loaded only where something is open

    return choose(description).project


def load_description(path: Path | str, nodes: int | None = None) -> Description:
    """Read and check a description as it is written; ``nodes`` overrides the node count of the file.

    Raises ProjectError (exit code 2) with every problem, or InputError where the file cannot be read or parsed at all.
    """
    source = _Source(Path(path))
    for key in source.value:
        if key not in Description.model_fields:
            source.add(
                (key,),
                source.value[key],
                f"unknown key; known: {_known(Description)}",
                _nearest(key, list(Description.model_fields)),
            )
    name = source.value.get("name")
    try:
        _parse_name(name)
        if name != Path(path).resolve().parent.name and Path(path).name == "project.yaml":
            folder = Path(path).resolve().parent.name
            source.add(("name",), name, f"the project's folder is named {folder}", "use one name for both")
    except PydanticCustomError as error:
        if name is None:
            source.add(("name",), None, "this key is required", "add name: the name of the project's folder")
        else:
            context = error.context or {}
            source.add(("name",), name, str(context["limit"]), str(context["remedy"]))

    if nodes is not None:
        cluster_raw = source.value.setdefault("cluster", {})
        if isinstance(cluster_raw, dict):
            cluster_raw["nodes"] = nodes

    raw_model = source.value.get("model")
    kind = raw_model.get("source") if isinstance(raw_model, dict) else None
    model: MinilmModel | SyntheticModel | None = None
    if isinstance(raw_model, dict) and (not isinstance(kind, str) or kind not in _MODELS):
        limit = "this key is required" if kind is None else "not a known model source"
        source.add(("model", "source"), kind, limit, f"choose {' or '.join(sorted(_MODELS))}")
    else:
        model = source.section("model", _MODELS.get(str(kind), SyntheticModel), default=False)
    cluster = source.section("cluster", ClusterSection, default=False)
    cluster = None if cluster is None else _arranged(source, cluster)
    mapping = source.section("mapping", OpenMapping, default=True)
    build = source.section("build", OpenBuild, default=True)
    transport = source.section("transport", TransportSection, default=True)

    divides = model is not None and _check_model(source, model)
    if cluster is not None:
        _check_cluster(source, cluster, build)
        _check_boards(source, cluster, build)
        _check_addresses(source, cluster, build)
    if cluster is not None and mapping is not None:
        _check_place(source, mapping, cluster, model if divides else None)
    even = cluster is not None and _check_clusters(source, cluster, model)
    if even and cluster is not None and mapping is not None:
        even = _check_groups(source, cluster, mapping, model)
    fixed = mapping is not None and mapping.strategy == "tensor" and mapping.groups != "auto"
    if even and divides and cluster is not None and mapping is not None and fixed:
        assert model is not None
        groups = mapping.groups or 1
        legal = legal_node_counts(model.hidden, model.heads, model.ffn)
        a_cluster = " a group" if groups > 1 else " a cluster" if cluster.clusters > 1 else ""
        remedy = f"choose {_either(legal)} node{'s' if legal != [1] else ''}{a_cluster}" if legal else "choose another model size"
        for limit in _node_count_limits(len(cluster.nodes) // cluster.clusters // groups, model.hidden, model.heads, model.ffn):
            source.add(("cluster", "nodes"), len(cluster.nodes), limit, remedy)
    if source.problems:
        raise ProjectError(source.problems)
    assert isinstance(name, str)
    assert model is not None
    return Description(name=name, model=model, cluster=cluster, mapping=mapping, build=build, transport=transport)


def projects_root() -> Path:
    """The folder fpga_projects/ of this working copy."""
    return Path(__file__).resolve().parents[3] / "fpga_projects"


def find_project(name: str, root: Path | None = None) -> Path:
    """Path of a project's description: ``name`` is a project of fpga_projects/, a folder or a .yaml file."""
    root = projects_root() if root is None else root
    if _NAME.fullmatch(name) and (root / name / "project.yaml").is_file():
        return root / name / "project.yaml"
    given = Path(name)
    if given.suffix in (".yaml", ".yml") and given.is_file():
        return given
    if (given / "project.yaml").is_file():
        return given / "project.yaml"
    known = sorted(path.parent.name for path in root.glob("*/project.yaml"))
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]}?" if close else "name one of these, or a folder that holds a project.yaml"
    raise InputError(f"project {name!r} is unknown; known: {', '.join(known) or '(none)'}; {hint}")
