# SPDX-License-Identifier: Apache-2.0
"""From a description with something open to a project with nothing open, and what the mapper says of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import yaml
from rich.console import Console
from rich.table import Table

from floreana.cluster.description import DEFAULT_LANES, Description, Project, format_ip, format_mac
from floreana.cluster.mapper.explain import explain
from floreana.cluster.mapper.layout import OPERATORS, Cost, Layout, Objective, Task, as_project, evaluate, shape_of
from floreana.cluster.mapper.model import BIG, Model, Solved, legal_groups
from floreana.cluster.mapper.usage import RESOURCES, Limit, amount, limits, usage
from floreana.cluster.plan import make_plan
from floreana.cluster.schedule import schedule
from floreana.errors import FloreanaError, InputError

TICKS = 12.0  # deterministic time of a search: about a minute of one core, the same work on every machine
REFUSALS_MAX = 20
TIMED_MOST = (
    200_000  # rows of all encoders and sequences times nodes of a group, all mappings together: about a minute of the schedule model
)
SLACK = 1.05  # the mapper's model is at most so much above the schedule model: what is beyond it need not be timed


@dataclass(frozen=True, slots=True)
class Choice:
    """A decision.

    ``value``: cycles of the objective by the model; no decision has fewer than ``bound``. ``status``: optimal, where a mapping of the bound
    exists, or feasible, where the time ended before. ``ticks``: deterministic time used; ``refused``: what the plan refused on the way.
    ``timed``: cycles of the objective by the schedule model, which ranked ``finalists`` mappings; None where it would take too long.
    """

    project: Project
    layout: Layout
    objective: Objective
    cost: Cost
    value: int
    bound: int
    status: str
    ticks: float
    usage: Mapping[str, float]
    limits: Sequence[Limit]
    refused: tuple[str, ...] = ()
    timed: int | None = None
    finalists: int = 1

    @property
    def gap(self) -> float:
        """Share of the value that the bound leaves open; 0: nothing is better by the model."""
        return (self.value - self.bound) / self.value if self.value else 0.0

    @property
    def explanation(self) -> str:
        """In words: what was made least, and what is known of it."""
        what = "a sequence" if self.objective == "latency" else "from sequence to sequence"
        tokens = self.project.build.max_tokens
        proved = "proved: no mapping has fewer" if self.value == self.bound else f"bound proved {self.bound:,}, gap {100 * self.gap:.2f} %"
        other = f"{self.cost.interval:,} from sequence to sequence" if self.objective == "latency" else f"{self.cost.latency:,} a sequence"
        text = f"least {self.objective}, {tokens} tokens: {self.value:,} cycles {what} by the mapper's model ({proved}; {other});"
        if self.timed is not None:
            others = f", the least of the {self.finalists} mappings that it timed" if self.finalists > 1 else ""
            text += f" {self.timed:,} by the schedule model{others};"
        return f"{text} busiest: {self.cost.bottleneck}"


_choices: dict[str, Choice] = {}


def choose(description: Description, ticks: float = TICKS) -> Choice:
    """Decide what is open in a description.

    Raises InputError where nothing fits: which resource fails where, and the smallest change that would fit.
    """
    key = f"{ticks} {description.model_dump_json()}"
    if key not in _choices:
        _choices[key] = _choose(description, ticks)
    return _choices[key]


def _choose(description: Description, ticks: float) -> Choice:
    best = _search(description, ticks)
    if best is None:
        raise InputError(explain(description, limits(description)))
    if _work(best) <= TIMED_MOST:
        return _ranked(description, best, ticks)
    if best.objective == "latency" or description.mapping.strategy != "auto":
        return best
    # sequences may wait in a pipeline, which the mapper's model does not see: untimed, none is taken where there is another
    groups = "auto" if description.open["groups"] else description.mapping.groups
    whole = _search(_variant(description, "tensor", groups), ticks, BIG)
    return best if whole is None else replace(whole, bound=min(best.bound, whole.value), status=best.status)


def _ranked(description: Description, best: Choice, ticks: float) -> Choice:
    """Of the best mappings of each kind the one of fewest cycles by the schedule model, which follows every message; ``best`` is one.

    The mapper's model takes the overlap of one encoder, or one sequence, with the next to be perfect, and so prefers one group to several.
    """
    winner = replace(best, timed=_time(best))
    places, spent, work = {str(best.project.mapping)}, best.ticks, _work(best)
    for variant in _variants(description):
        assert winner.timed is not None
        other = _search(variant, ticks / 4, int(SLACK * winner.timed))
        if other is None:
            continue
        spent += other.ticks
        if str(other.project.mapping) not in places and work + _work(other) <= TIMED_MOST:
            places.add(str(other.project.mapping))
            work += _work(other)
            cycles = _time(other)
            if cycles < winner.timed:
                winner = replace(other, timed=cycles)
    bound = min(best.bound, winner.value)
    return replace(winner, bound=bound, status=best.status, ticks=spent, refused=best.refused, finalists=len(places))


def _in_flight(choice: Choice) -> int:
    """Sequences that have a slot in the clusters."""
    return choice.project.build.slots * choice.project.clusters if choice.objective == "throughput" else 1


def _sequences(choice: Choice) -> list[int]:
    """Tokens of the sequences that are timed: one; for throughput as many back to back as are in flight, and four more."""
    return [choice.project.build.max_tokens] * (1 if choice.objective == "latency" else _in_flight(choice) + 4)


def _work(choice: Choice) -> int:
    """What it costs to time a mapping: rows of all encoders and sequences, times the nodes that share an encoder."""
    task = Task.of(choice.project)
    return sum(_sequences(choice)) * task.encoders * task.team(choice.layout.groups)


def _time(choice: Choice) -> int:
    """Cycles of a sequence, or from one to the next, by the schedule model."""
    found = schedule(make_plan(choice.project), _sequences(choice), in_flight=_in_flight(choice))
    return found.last_row if choice.objective == "latency" else round(found.interval or 0)


def _variants(description: Description) -> Iterator[Description]:
    """The description with groups decided, and whether every node holds a share of every operator; none where neither is open."""
    mapping = description.mapping
    strategies = ("auto", "tensor") if mapping.strategy == "auto" else (mapping.strategy,)
    numbers = legal_groups(description)
    if len(strategies) * len(numbers) == 1:
        return
    for strategy in strategies:
        for groups in numbers:
            yield _variant(description, strategy, groups)


def _variant(description: Description, strategy: str, groups: int | str | None) -> Description:
    """The description with another strategy and number of groups, the parameters of the node as open as they were."""
    lanes = {name: "auto" for name in DEFAULT_LANES if description.open[name]}
    mapping = description.mapping.model_copy(update={"strategy": strategy, "groups": groups})
    return description.model_copy(update={"mapping": mapping, "build": description.build.model_copy(update=lanes)})


def _search(description: Description, ticks: float, below: int | None = None) -> Choice | None:
    """The mapping of least cycles by the mapper's model; None where nothing fits, or nothing has less than ``below``.

    Raises InputError where the time was too short to find one, and ``below`` is None.
    """
    boards = limits(description)
    objective: Objective = description.mapping.objective
    task = Task.of(description)
    models: dict[int, Model] = {}
    refused: list[str] = []
    spent = 0.0
    while len(refused) < REFUSALS_MAX:
        best: Solved | None = None
        bound = BIG
        status = "optimal"
        numbers = legal_groups(description)
        for k, groups in enumerate(numbers):  # one search for each number of groups: what one has found, the next must beat
            if groups not in models:
                models[groups] = Model(description, boards, objective, [groups])
            solved = models[groups].solve(max(ticks - spent, ticks / 8) / (len(numbers) - k), below if best is None else best.value)
            spent += solved.ticks
            bound = min(bound, solved.bound)
            if solved.layout is not None:
                best = solved
            if solved.status not in ("optimal", "infeasible"):
                status = "feasible"
        if best is None or best.layout is None:
            if below is not None:
                return None
            if status != "optimal":
                raise InputError(
                    f"project {description.name}: no mapping was found in {spent:.1f} units of deterministic time, and none was excluded;"
                    " state some of what is open (mapping.groups, build.k_lanes, build.out_n)"
                )
            if refused:
                raise InputError("\n".join([explain(description, boards), *refused]))
            return None
        small = models[best.layout.groups].smallest(best.value, best.layout, ticks / 4)
        spent += small.ticks
        assert small.layout is not None
        project = as_project(description, small.layout)
        taken = usage(shape_of(task, small.layout))
        reason = _over(taken, boards)
        if not reason:
            try:
                make_plan(project)
            except InputError as error:
                reason = error.message
        if not reason:
            cost = evaluate(task, small.layout)
            value = cost.latency if objective == "latency" else cost.interval
            return Choice(
                project, small.layout, objective, cost, value, min(bound, value), status, spent, taken, tuple(boards), tuple(refused)
            )
        refused.append(reason)
        models[best.layout.groups].forbid(small.layout)
    raise FloreanaError("\n".join([f"the plan refused {REFUSALS_MAX} mappings, one after the other:", *dict.fromkeys(refused)]))


def _over(taken: Mapping[str, float], boards: Sequence[Limit]) -> str:
    for limit in boards:
        for name in RESOURCES:
            if name in limit.limits and taken[name] > limit.usable(name):
                return f"{name}: {taken[name]:,} of {limit.usable(name):,} of {limit.board}"
    return ""


def render_choice(choice: Choice, width: int = 110) -> str:
    """The decision as readable text: who shares what, the node's resources, the value and its bound."""
    project, task = choice.project, Task.of(choice.project)
    groups = choice.layout.groups
    of = f", the first of {groups * task.clusters} groups" if groups * task.clusters > 1 else ""
    place = Table(title=f"mapping chosen: {task.team(groups)} nodes{of}, strategy {project.mapping.strategy}", title_justify="left")
    for column in ("operator", "nodes", "share of a node"):
        place.add_column(column)
    sizes = {"qkv": (task.heads, "heads"), "attention": (task.heads, "heads"), "out": (task.hidden, "inputs")}
    sizes |= {"ffn1": (task.ffn, "outputs"), "ffn2": (task.ffn, "inputs")}
    for name in OPERATORS:
        nodes = choice.layout.place[name]
        size, unit = sizes.get(name, (task.tokens, "rows"))
        share = f"{-(-size // len(nodes)):,} of {size:,} {unit}"
        place.add_row(name, ", ".join(project.cluster.nodes[k] for k in nodes), share)
    build = Table(title="parameters of the node", title_justify="left", show_header=False)
    build.add_row(*(f"{name} {getattr(project.build, name)}" for name in DEFAULT_LANES))
    node = Table(title="a node against its board, by arithmetic", title_justify="left")
    node.add_column("resource")
    node.add_column("needed", justify="right")
    for limit in choice.limits:
        node.add_column(f"usable of {limit.board}", justify="right")
    for name in RESOURCES:
        cells = [limit.told(name) for limit in choice.limits]
        node.add_row(name, amount(choice.usage[name]), *cells)
    console = Console(width=width, color_system=None, highlight=False, legacy_windows=False)
    with console.capture() as capture:
        for table in (place, build, node):
            console.print(table)
    return "\n".join([*(line.rstrip() for line in capture.get().splitlines()), choice.explanation])


def mapped_yaml(project: Project) -> str:
    """A project with nothing open as the text of a description."""
    content = project.model_dump(mode="json", exclude_none=True)
    cluster = content["cluster"] = {name: value for name, value in content["cluster"].items() if value != {}}
    cluster["mac_base"], cluster["ip_base"] = format_mac(project.cluster.mac_base), format_ip(project.cluster.ip_base)
    head = "# SPDX-License-Identifier: Apache-2.0\n# Written by `floreana map`: nothing is open here. Keys: docs/mapping.md\n"
    text: str = yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=140)
    return head + text
