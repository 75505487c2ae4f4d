# SPDX-License-Identifier: Apache-2.0
"""The CP-SAT model: which nodes share each operator, how many groups, how large the array (docs/mapper.md).

Every quantity is bounded from below by what each choice needs, and whatever is minimised presses it onto that bound. The numbers come from
:class:`floreana.cluster.mapper.layout.Task`, so that the value of a solution is what :func:`evaluate` says of its layout.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from ortools.sat.python import cp_model

from floreana.cluster.description import DEFAULT_LANES, K_LANES, LANES, OUT_N, Description
from floreana.cluster.mapper.layout import (
    FIELDS,
    GROUPS_FIELD,
    HEAD_BEATS_MAX,
    LINEAR,
    MESSAGE_RUN_MAX,
    NORMS,
    OPERATORS,
    PAIRS,
    PARTS,
    PHASE_A,
    RESOURCES_OF_TIME,
    SLICES,
    Build,
    Layout,
    Objective,
    Task,
    base_shape,
    ends,
    ser,
)
from floreana.cluster.mapper.usage import RESOURCES, Limit, usage
from floreana.cluster.plan import DEPTH_STEP
from floreana.errors import FloreanaError

WORKERS = 1  # the same search on any number of cores
SEED = 1
BIG = 1 << 40
STEPS_MAX = 4_000  # of a memory's depth

Literal = Any  # a Boolean variable of the model, or its negation
Number = Any  # an integer variable or a linear expression


@dataclass(frozen=True, slots=True)
class Solved:
    """What came out of a solve. ``bound``: no decision has a lower value; ``ticks``: deterministic time used."""

    layout: Layout | None
    value: int
    bound: int
    status: str
    ticks: float
    slack: Mapping[tuple[str, str], int] = field(default_factory=dict)


Kind = frozenset[str]  # operators of a node


def _subsets(names: Sequence[str]) -> list[Kind]:
    """Every set of names but the empty one, in a fixed order."""
    return [frozenset(name for k, name in enumerate(names) if mask >> k & 1) for mask in range(1, 1 << len(names))]


def whole(description: Description) -> bool:
    """True where every node holds a share of every operator."""
    return description.mapping.strategy == "tensor"


def legal_groups(description: Description) -> list[int]:
    """Numbers of groups over which nodes and encoders of a cluster divide; none where strategy tensor then has no legal share."""
    task, mapping = Task.of(description), description.mapping
    most = task.cluster_nodes
    if description.open["groups"]:
        encoders = task.encoders // task.clusters
        groups = [g for g in range(1, most + 1) if most % g == 0 and encoders % g == 0]
    else:
        groups = [mapping.groups if isinstance(mapping.groups, int) else 1]
    if whole(description):
        legal = set(task.legal_shares("qkv", most)) & set(task.legal_shares("ffn1", most))
        groups = [g for g in groups if task.team(g) in legal]
    return groups


@cache
def _halves(shape: tuple[tuple[str, int], ...]) -> dict[str, int]:
    return {name: -int(-2 * value // 1) for name, value in usage(dict(shape)).items()}


def _scaled(shape: Mapping[str, int]) -> dict[str, int]:
    """Resources in halves: a RAMB18 is one. Kept, since every search of a description asks for the same."""
    return _halves(tuple(shape.items()))


class Model:
    """Variables and constraints for a description. ``slack``: limits may be exceeded, at a price, to see by how much."""

    def __init__(
        self,
        description: Description,
        limits: Sequence[Limit],
        objective: Objective,
        groups: Sequence[int] | None = None,
        slack: bool = False,
    ) -> None:
        """``groups``: numbers of groups to choose from; None: all that the description allows."""
        self.description, self.limits, self.objective = description, limits, objective
        self.groups = list(legal_groups(description) if groups is None else groups)
        task = Task.of(description)
        self.task = task = task.whole() if objective == "throughput" else task
        self.model = cp_model.CpModel()
        self.slack: dict[tuple[str, str], Number] | None = {} if slack else None
        self._choices()
        self._places()
        self._fields()
        self._depths()
        self._resources()
        self._cycles()

    # ------------------------------------------------------------------ pieces

    def _number(self, name: str, most: int = BIG) -> Number:
        return self.model.new_int_var(0, most, name)

    def _one_of(self, name: str, values: Iterable[Any]) -> dict[Any, Literal]:
        literals = {value: self.model.new_bool_var(f"{name}={value}") for value in values}
        self.model.add_exactly_one(literals.values())
        return literals

    def _least(self, number: Number, value: Number, *conditions: Literal) -> None:
        """``number`` is at least ``value`` where all conditions hold."""
        if isinstance(value, int) and value <= 0:
            return
        self.model.add(number >= value).only_enforce_if(*conditions)

    def _never(self, *literals: Literal) -> None:
        """Not all of them."""
        self.model.add_bool_or([literal.negated() for literal in literals])

    # ------------------------------------------------------------------ decisions

    def _choices(self) -> None:
        task, description, opened = self.task, self.description, self.description.open
        self.impossible = not self.groups
        if self.impossible:
            self.groups = [1]
        self.most = max(task.team(g) for g in self.groups)
        self.group = self._one_of("groups", self.groups)
        lanes: dict[str, tuple[int, ...]] = {"k_lanes": K_LANES, "out_n": OUT_N, "post_lanes": LANES, "norm_lanes": LANES}
        for name, default in DEFAULT_LANES.items():
            if not opened[name]:
                given = getattr(description.build, name)
                lanes[name] = (given if isinstance(given, int) else default,)
        self.array = self._one_of("array", [(k, n) for k in lanes["k_lanes"] for n in lanes["out_n"]])
        self.post = self._one_of("post_lanes", lanes["post_lanes"])
        self.norm = self._one_of("norm_lanes", lanes["norm_lanes"])

    def _places(self) -> None:
        """Nodes by what they hold. Nodes of a group are alike: those of a kind are counted, none has a name, and no symmetry is left."""
        task, model = self.task, self.model
        strategy, given = self.description.mapping.strategy, self.description.mapping.place
        self.share = {name: self._one_of(f"share {name}", task.legal_shares(name, self.most)) for name in OPERATORS}
        if whole(self.description):
            self.kinds: list[Kind] = [frozenset(OPERATORS)]
        elif given is not None:
            names = self.description.cluster.nodes
            held = [frozenset(each for each in OPERATORS if names[i] in getattr(given, each)) for i in range(self.most)]
            self.kinds = [kind for kind in _subsets(OPERATORS) if kind in held]
        else:
            self.kinds = list(_subsets(OPERATORS))
            if strategy == "pipeline":  # no kernel serves two operators
                self.kinds = [kind for kind in self.kinds if len(kind & set(LINEAR)) <= 1 and len(kind & set(NORMS)) <= 1]
        self.count = {kind: model.new_int_var(0, self.most, f"nodes with {'+'.join(sorted(kind))}") for kind in self.kinds}
        self.used = {kind: model.new_bool_var(f"some {'+'.join(sorted(kind))}") for kind in self.kinds}
        for kind, count in self.count.items():
            model.add(count >= 1).only_enforce_if(self.used[kind])
            model.add(count == 0).only_enforce_if(self.used[kind].negated())
            if given is not None:
                model.add(count == held.count(kind))
        model.add(sum(self.count.values()) <= sum(task.team(g) * literal for g, literal in self.group.items()))
        if whole(self.description):
            model.add(sum(self.count.values()) == sum(task.team(g) * literal for g, literal in self.group.items()))
        for name in OPERATORS:
            nodes = sum(count for kind, count in self.count.items() if name in kind)
            model.add(nodes == sum(share * literal for share, literal in self.share[name].items()))
        self._parts: dict[tuple[Kind, Kind], Literal] = {}
        self.same = {pair: self._equal(*pair) for pair in PAIRS}
        self.together = self._equal("ln1", "ln2")
        for name in NORMS:  # rows rotate over the same nodes, or each LayerNorm has a node of its own
            model.add_implication(self.together.negated(), self.share[name][1])
        for kind, used in self.used.items():
            if set(NORMS) <= kind:
                model.add_implication(used, self.together)
        self.direct = model.new_bool_var("direct")
        model.add_implication(self.direct, self.together)
        if not task.star:
            model.add(self.direct == 0)
        if 1 in self.share["qkv"]:
            model.add_implication(self.direct, self.share["qkv"][1].negated())
        for kind, used in self.used.items():
            if "ln1" in kind and "qkv" not in kind:
                model.add_implication(self.direct, used.negated())

    def _equal(self, one: str, other: str) -> Literal:
        """True only where both operators have the same nodes."""
        literal = self.model.new_bool_var(f"same {one} {other}")
        for kind, used in self.used.items():
            if (one in kind) != (other in kind):
                self.model.add_implication(literal, used.negated())
        return literal

    def _present(self, part: Kind, of: Kind) -> Literal:
        """True where a node has exactly ``part`` of the operators ``of``."""
        if (part, of) not in self._parts:
            literal = self.model.new_bool_var(f"some {'+'.join(sorted(part))} of {'+'.join(sorted(of))}")
            for kind, used in self.used.items():
                if kind & of == part:
                    self.model.add_implication(used, literal)
            self._parts[part, of] = literal
        return self._parts[part, of]

    def _on_nodes(self, values: Mapping[str, Number]) -> list[tuple[Literal, Number]]:
        """For each kind of node the sum of its operators' values, and when there is such a node."""
        of = frozenset(values)
        parts = sorted({kind & of for kind in self.kinds if kind & of}, key=sorted)
        return [(self._present(part, of), sum(values[name] for name in OPERATORS if name in part)) for part in parts]

    def _fields(self) -> None:
        """What does not fit a context's fields."""
        task = self.task
        for source, target in SLICES:
            for p, sends in self.share[source].items():
                for q, takes in self.share[target].items():
                    if task.runs(source, p, q) > MESSAGE_RUN_MAX:
                        self._never(sends, takes)
        for name in LINEAR:
            for p, literal in self.share[name].items():
                if task.sizes(name, p)[0] // 64 > 127:
                    self._never(literal)
                for (_, n), array in self.array.items():
                    if task.groups_of(name, p, n) > GROUPS_FIELD:
                        self._never(literal, array)
        for p, literal in self.share["attention"].items():
            if task.head_beats(p) > HEAD_BEATS_MAX:
                self._never(literal)

    # ------------------------------------------------------------------ memories and resources

    def _by_share(self, names: Iterable[str], cost: Callable[[str, int], int]) -> dict[str, Number]:
        """A number for each operator that depends on its share alone."""
        return {name: sum(cost(name, p) * literal for p, literal in self.share[name].items()) for name in names}

    def _product(self, what: str, one: Mapping[Any, Literal], other: Mapping[Any, Literal]) -> dict[tuple[Any, Any], Literal]:
        """Booleans for every pair of two choices."""
        if len(other) == 1:
            (key,) = other
            return {(a, key): literal for a, literal in one.items()}
        if len(one) == 1:
            (key,) = one
            return {(key, b): literal for b, literal in other.items()}
        both = {(a, b): self.model.new_bool_var(f"{what} {a} {b}") for a in one for b in other}
        for a, literal in one.items():
            self.model.add(sum(both[a, b] for b in other) == literal)
        for b, literal in other.items():
            self.model.add(sum(both[a, b] for a in one) == literal)
        return both

    def _depths(self) -> None:
        task, model = self.task, self.model
        h = task.hidden
        self.words: dict[str, Number] = {}
        bias: dict[str, Number] = {}
        posts: dict[str, Number] = {}
        total: dict[str, Number] = {}
        for name in LINEAR:
            both = self._product(name, self.share[name], self.array)
            costs = {key: task.words(name, key[0], *key[1]) for key in both}
            self.words[name] = self._number(f"words {name}", max(costs.values()))
            model.add(self.words[name] == sum(costs[key] * literal for key, literal in both.items()))
            total[name] = sum(key[0] * costs[key] * literal for key, literal in both.items())
            bias[name] = sum(task.groups_of(name, p, n) * literal for (p, (_, n)), literal in both.items())
            if name in ("qkv", "ffn1"):
                posts[name] = self._number(f"post words {name}")
                for (p, (_, n)), literal in both.items():
                    for lanes, post in self.post.items():
                        self._least(posts[name], task.post_words(name, p, n, lanes), literal, post)
        self.total_words = total
        channels = {name: sum(h // lanes * literal for lanes, literal in self.norm.items()) for name in NORMS}
        self.depth = {name: self._number(name, BIG if self.slack is not None else limit) for name, limit in FIELDS.items()}
        residuals = self._by_share(NORMS, lambda _, p: task.norm_words(p))
        for name, values in (
            ("STORE_BEATS", self._by_share(LINEAR, task.store_beats)),
            ("RES_WORDS", residuals),
            ("ACC_BEATS", {name: 4 * value for name, value in residuals.items()}),
        ):
            for there, value in self._on_nodes(values):
                self._least(self.depth[name], value, there)
        for name, values in (("W_WORDS", self.words), ("BIAS_WORDS", bias), ("POST_WORDS", posts), ("CHAN_WORDS", channels)):
            for there, value in self._on_nodes(values):
                for g, literal in self.group.items():
                    self._least(self.depth[name], task.encoders_of(g) * value, there, literal)
        if self.slack is not None:
            for name, limit in FIELDS.items():
                self._over(name, "the address field", self.depth[name], limit)

    def _over(self, resource: str, where: str, used: Number, limit: int) -> None:
        """A limit, or what exceeds it."""
        if self.slack is None:
            self.model.add(used <= limit)
            return
        extra = self._number(f"{resource} beyond {where}")
        self.model.add(used <= limit + extra)
        self.slack[resource, where] = extra

    def _resources(self) -> None:
        """Resources of the shape: a base, and a term for each parameter that is not fixed."""
        task = self.task
        base = base_shape(task)
        least = _scaled(base)
        total: dict[str, Number] = dict(least)
        ceiling = {name: 4 * max(limit.usable(name) for limit in self.limits) + 4 for name in RESOURCES}

        def more(values: Mapping[str, int]) -> dict[str, int]:
            shape = _scaled(base | dict(values))
            return {name: shape[name] - least[name] for name in RESOURCES}

        def by_choice(literals: Mapping[Any, Literal], values: Callable[[Any], Mapping[str, int]]) -> None:
            for key, literal in literals.items():
                for name, extra in more(values(key)).items():
                    if extra:
                        total[name] += extra * literal

        by_choice(self.array, lambda key: {"K_LANES": key[0], "OUT_N": key[1]})
        by_choice(self.post, lambda lanes: {"POST_LANES": lanes})
        by_choice(self.norm, lambda lanes: {"NORM_LANES": lanes})
        by_choice(self.share["ln1"], lambda p: {"LROW_W": task.local_row_w(p)})
        both = self._product("requant", self.share["attention"], self.group)
        by_choice(both, lambda key: {"HEAD_BEATS": task.head_beats_field(key[0]), "REQ_WORDS": task.req_words(*key)})

        beyond: dict[tuple[str, int], Literal] = {}

        def deeper(depth: str, step: int) -> Literal:
            """True where a memory has more entries than ``step``."""
            if (depth, step) not in beyond:
                literal = self.model.new_bool_var(f"{depth}>{step}")
                self.model.add(self.depth[depth] <= step).only_enforce_if(literal.negated())
                beyond[depth, step] = literal
            return beyond[depth, step]

        dependent: dict[str, tuple[Mapping[Any, Literal], Callable[[Any], dict[str, int]]]] = {
            "W_WORDS": (self.array, lambda key: {"K_LANES": key[0], "OUT_N": key[1]}),
            "BIAS_WORDS": (self.array, lambda key: {"OUT_N": key[1]}),
            "POST_WORDS": (self.post, lambda lanes: {"POST_LANES": lanes}),
            "CHAN_WORDS": (self.norm, lambda lanes: {"NORM_LANES": lanes}),
        }
        always: Mapping[Any, Literal] = {None: self.model.new_constant(1)}
        for depth in FIELDS:
            literals, given = dependent.get(depth, (always, lambda _: {}))
            extra = {name: self._number(f"{name} of {depth}") for name in RESOURCES}
            used: set[str] = set()
            for key, literal in literals.items():
                for step, values in _steps(base | given(key), depth, ceiling):
                    for name, value in values.items():
                        if value:
                            self._least(extra[name], value, literal, deeper(depth, step))
                            used.add(name)
            for name in sorted(used):
                total[name] += extra[name]
        self.total = total
        self.limited = [name for name in RESOURCES if any(name in limit.limits for limit in self.limits)]
        for limit in self.limits:
            for name in RESOURCES:
                if name in limit.limits:
                    self._over(name, limit.board, total[name], 2 * limit.usable(name))

    # ------------------------------------------------------------------ cycles

    def _cycles(self) -> None:
        task, model, rows = self.task, self.model, self.task.rows
        before, after, both = (self._number(name) for name in ("before", "after", "both"))
        busy: dict[str, dict[str, list[Number]]] = {}  # resource -> operator -> what it takes, in sequences' cycles

        def take(resource: str, name: str, value: Number, early: bool) -> None:
            busy.setdefault(resource, {}).setdefault(name, [0, 0])[0 if early else 1] += value

        for name in LINEAR:
            take("array", name, rows * self.words[name], name in PHASE_A)
            beats = sum(rows * task.out_beats(name, p) * literal for p, literal in self.share[name].items())
            take("linear's port", name, beats, name in PHASE_A)
        for name in ("qkv", "ffn1"):
            cycles = self._number(f"requant {name}")
            for p, share in self.share[name].items():
                for lanes, post in self.post.items():
                    self._least(cycles, rows * task.post_cycles(name, p, lanes), share, post)
            take("requantisation", name, cycles, name in PHASE_A)
        heads = sum(rows * task.attention_cycles(p) * literal for p, literal in self.share["attention"].items())
        take("attention", "attention", heads, early=False)
        residual = ser(rows * task.row_bytes(task.hidden))
        for source, name in PARTS:
            norms, inputs = self._number(f"norm {name}"), self._number(f"norm input {name}")
            for p, share in self.share[name].items():
                for lanes, norm in self.norm.items():
                    self._least(norms, -(-rows // p) * task.norm_cycles(lanes), share, norm)
                for parts, other in self.share[source].items():
                    self._least(inputs, -(-rows // p) * parts * task.hidden // 16, share, other)
            take("add_norm", name, norms, early=False)
            take("add_norm's input", name, inputs, early=False)
            for way in ("wire out", "wire in"):
                take(way, name, residual * (1 - self.together), early=False)
        chain_terms: list[Number] = []
        for pair in PAIRS:
            source, target = pair
            early = source in PHASE_A or target in PHASE_A
            tx, rx, row = (self._number(f"{what} {source} {target}") for what in ("tx", "rx", "row"))
            for p, sends in self.share[source].items():
                for q, takes in self.share[target].items():
                    far = task.crossing(pair, p, q, same=False)
                    for number, value in ((tx, far.tx), (rx, far.rx), (row, far.row)):
                        self._least(number, value, sends, takes, self.same[pair].negated())
                    if p == q:
                        near = task.crossing(pair, p, q, same=True)
                        for number, value in ((tx, near.tx), (rx, near.rx), (row, near.row)):
                            self._least(number, value, sends, takes, self.same[pair])
            chain_terms.append(row)
            take("wire out", source, tx, early)
            take("wire in", target, rx, early)
        assert set(busy) == set(RESOURCES_OF_TIME)
        for values in busy.values():
            for phase, part in ((before, (0,)), (after, (1,)), (both, (0, 1))):
                load = {name: sum(pair[k] for k in part) for name, pair in values.items()}
                for there, value in self._on_nodes({name: value for name, value in load.items() if not isinstance(value, int)}):
                    self._least(phase, value, there)
        self._least(both, before)
        self._least(both, after)
        words = self.total_words
        for g, literal in self.group.items():  # the busiest array has at least an even share
            later = sum(words[name] for name in ("out", "ffn1", "ffn2"))
            self._least(before * task.team(g), rows * words["qkv"], literal)
            self._least(after * task.team(g), rows * later, literal)
            self._least(both * task.team(g), rows * (words["qkv"] + later), literal)
        posts = sum(2 * (35 + 64 // lanes) * literal for lanes, literal in self.post.items())
        norm = sum(2 * task.norm_latency(lanes) * literal for lanes, literal in self.norm.items())
        heads = sum(task.attention_latency(p) * literal for p, literal in self.share["attention"].items())
        chain = sum(self.words.values()) + posts + 2 * 18 + norm + heads + sum(chain_terms)
        turn = self._number("turn")
        self._least(turn, before)
        self._least(turn, after)
        self.latency, self.interval = self._number("latency"), self._number("interval")
        hop = ends(task, 1, direct=False) - ends(task, 1, direct=True)
        for g, literal in self.group.items():
            teams = task.clusters * g
            fixed = ends(task, g, direct=False)
            phases = before + (task.encoders - teams) * both + (teams - 1) * turn + after
            self._least(self.latency, phases + task.encoders * chain + fixed - hop * self.direct, literal)
            self._least(self.interval, task.encoders_of(g) * both, literal)
        model.add(self.interval * task.clusters * task.slots >= self.latency)
        if self.slack is not None:
            self.goal = self._shortage()
        else:
            self.goal = self.latency if self.objective == "latency" else self.interval

    def _shortage(self) -> Number:
        """Shares of the limits that are missing, in thousandths of a thousand."""
        assert self.slack is not None
        terms = []
        usable = {(name, limit.board): 2 * limit.usable(name) for limit in self.limits for name in RESOURCES if name in limit.limits}
        for key, extra in self.slack.items():
            whole = usable.get(key) or FIELDS.get(key[0], 1)
            terms.append(extra * max(1_000_000 // whole, 1))
        return sum(terms)

    # ------------------------------------------------------------------ solving

    def forbid(self, chosen: Layout) -> None:
        """Never again this decision, which the plan refused."""
        literals = [self.group[chosen.groups], self.array[chosen.build.k_lanes, chosen.build.out_n]]
        literals += [self.post[chosen.build.post_lanes], self.norm[chosen.build.norm_lanes]]
        literals += [self.share[name][share] for name, share in chosen.shares().items()]
        held = {frozenset(name for name, nodes in chosen.place.items() if i in nodes) for i in range(self.most)}
        literals += [used if kind in held else used.negated() for kind, used in self.used.items()]
        self._never(*literals)

    def solve(self, ticks: float, below: int | None = None) -> Solved:
        """The least of the goal, if it is less than ``below``. ``ticks``: deterministic time. ``bound`` holds without a solution, too."""
        if self.impossible:
            return Solved(None, 0, BIG, "infeasible", 0.0)
        model = self.model
        if below is not None:
            model = model.clone()  # its variables have the same numbers
            model.add(self.goal < below)
        model.minimize(self.goal)
        solver = _solver(ticks)
        status = solver.solve(model)
        name, spent = solver.status_name(status).lower(), solver.response_proto.deterministic_time
        if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
            return Solved(None, 0, BIG if status == cp_model.INFEASIBLE else _bound(solver), name, spent)
        slack = {} if self.slack is None else {key: solver.value(extra) for key, extra in self.slack.items()}
        return Solved(self._read(solver), round(solver.objective_value), _bound(solver), name, spent, slack)

    def smallest(self, value: int, near: Layout, ticks: float) -> Solved:
        """With at most ``value`` of the goal, the smallest node; ``near`` is one that does."""
        model = self.model.clone()
        model.add(self.goal <= value)
        for choice, key in (
            (self.array, (near.build.k_lanes, near.build.out_n)),
            (self.post, near.build.post_lanes),
            (self.norm, near.build.norm_lanes),
            (self.group, near.groups),
            *((self.share[name], share) for name, share in near.shares().items()),
        ):
            for other, literal in choice.items():
                model.add_hint(literal, other == key)
        model.minimize(self._size())
        solver = _solver(ticks)
        status = solver.solve(model)
        found = self._read(solver) if status in (cp_model.OPTIMAL, cp_model.FEASIBLE) else near
        return Solved(found, value, value, solver.status_name(status).lower(), solver.response_proto.deterministic_time)

    def first(self, ticks: float) -> Solved:
        """Any decision that keeps the limits."""
        if self.impossible:
            return Solved(None, 0, 0, "infeasible", 0.0)
        solver = _solver(ticks)
        status = solver.solve(self.model)
        found = self._read(solver) if status in (cp_model.OPTIMAL, cp_model.FEASIBLE) else None
        return Solved(found, 0, 0, solver.status_name(status).lower(), solver.response_proto.deterministic_time)

    def _size(self) -> Number:
        """Of the smallest node first the resources, in millionths of what its smallest board allows, then pairs of operator and node."""
        least = {name: min(limit.usable(name) for limit in self.limits if name in limit.limits) for name in self.limited}
        resources = sum(total * (1_000_000 // (2 * least[name])) for name, total in self.total.items() if name in least)
        return resources + sum(len(kind) * count for kind, count in self.count.items())

    def _read(self, solver: Any) -> Layout:
        def one(literals: Mapping[Any, Literal]) -> Any:
            return next(key for key, literal in literals.items() if solver.boolean_value(literal))

        k, n = one(self.array)
        held = [kind for kind in self.kinds for _ in range(solver.value(self.count[kind]))]
        if self.description.mapping.place is None:
            held.sort(key=lambda kind: [name not in kind for name in OPERATORS])
            place = {name: tuple(i for i, kind in enumerate(held) if name in kind) for name in OPERATORS}
        else:
            names, given = self.description.cluster.nodes, self.description.mapping.place
            place = {name: tuple(names.index(node) for node in getattr(given, name)) for name in OPERATORS}
        return Layout(one(self.group), place, Build(k, n, one(self.post), one(self.norm)))


def _bound(solver: Any) -> int:
    """No solution has less."""
    return max(-int(-solver.best_objective_bound // 1), 0)


def _solver(ticks: float) -> Any:
    solver = cp_model.CpSolver()
    parameters = solver.parameters
    parameters.num_workers = WORKERS
    parameters.random_seed = SEED
    parameters.max_deterministic_time = ticks
    return solver


def _steps(shape: Mapping[str, int], depth: str, ceiling: Mapping[str, int]) -> list[tuple[int, dict[str, int]]]:
    """Depths of a memory from which on it takes more, each with what that is beyond the least; up to ``ceiling``."""
    known: dict[int, dict[str, int]] = {}

    def at(step: int) -> dict[str, int]:
        if step not in known:
            known[step] = _scaled({**shape, depth: step * DEPTH_STEP})
        return known[step]

    low, last = at(1), FIELDS[depth] // DEPTH_STEP
    while last > 1 and any(at(last // 2)[name] > ceiling[name] for name in RESOURCES):
        last //= 2
    out: list[tuple[int, dict[str, int]]] = []
    todo = [(1, last)]
    while todo:
        first, end = todo.pop()
        if end <= first or at(first) == at(end):
            continue
        if end == first + 1:
            out.append((first * DEPTH_STEP, {name: at(end)[name] - low[name] for name in RESOURCES}))
        else:
            middle = (first + end) // 2
            todo += [(first, middle), (middle, end)]
        if len(known) > STEPS_MAX:
            raise FloreanaError(f"a memory has more than {STEPS_MAX:,} steps of depth; the mapper's tables have no room for them")
    return sorted(out, key=lambda item: item[0])
