# SPDX-License-Identifier: Apache-2.0
"""Why nothing fits: which resource fails on which board, by how much, and the smallest change that would fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from floreana.cluster.description import DEFAULT_LANES, MAX_NODES, OUT_N, Description
from floreana.cluster.mapper.layout import FIELDS, Layout, Task, node_depths, shape_of
from floreana.cluster.mapper.model import Model, Solved
from floreana.cluster.mapper.usage import RESOURCES, Limit, amount, larger_boards, limits, usage

TICKS = 4.0  # deterministic time of each solve
MORE_NODES_TRIED = 24
PIPELINE_NODES = 4  # one for each linear operator


def explain(description: Description, boards: Sequence[Limit]) -> str:
    """The message: what fails, with its arithmetic, then changes in the order tokens, out_n, nodes, board, the first that fits of each."""
    task = Task.of(description)
    solved = Model(description, boards, "latency", slack=True).solve(TICKS)
    lines = [f"project {description.name} on {task.nodes} nodes: no mapping fits"]
    if solved.layout is None:
        lines += _structure(description, task)
        missing: set[str] = set()
    else:
        found, missing = _failures(task, solved.layout, boards)
        lines += found
    changes = []
    for tried in (_tokens(description), _outputs(description), _nodes(description), _boards(description)):
        for what, other in tried:
            text = _fits(what, other, missing)
            if text:
                changes.append(text)
                break
    if not changes:
        lines.append("  neither fewer tokens, nor a smaller out_n, nor more nodes, nor another known board alone is enough")
    lines += [f"  {'smallest change that fits' if not k else 'or'}: {text}" for k, text in enumerate(changes)]
    return "\n".join(lines)


def _structure(description: Description, task: Task) -> list[str]:
    """No placement at all, whatever the board."""
    strategy = description.mapping.strategy
    if strategy == "tensor":
        legal = sorted(set(task.legal_shares("qkv", task.cluster_nodes)) & set(task.legal_shares("ffn1", task.cluster_nodes)))
        return [
            f"  strategy tensor: no number of groups leaves {' or '.join(map(str, legal))} nodes to a group of {task.cluster_nodes} nodes"
        ]
    if strategy == "pipeline" and task.cluster_nodes < PIPELINE_NODES:
        return [f"  strategy pipeline: {PIPELINE_NODES} operators of linear need a node each, there are {task.cluster_nodes}"]
    return ["  the operators cannot be shared by so many nodes within the fields of their contexts"]


def _failures(task: Task, chosen: Layout, boards: Sequence[Limit]) -> tuple[list[str], set[str]]:
    """Lines, and the names of what fails, of the mapping that comes nearest."""
    shape = shape_of(task, chosen)
    taken = usage(shape)
    depths = [node_depths(task, chosen, position) for position in range(task.team(chosen.groups))]
    build = chosen.build
    lines, missing = [], set()
    sizes = f"k_lanes {build.k_lanes}, out_n {build.out_n}"
    nearest = f"nearest mapping: {sizes}, {shape['W_WORDS']:,} words of weights, {task.encoders_of(chosen.groups)} encoders a node"
    for limit in boards:
        others = f" and {len(limit.nodes) - 1} more" if len(limit.nodes) > 1 else ""
        for name in RESOURCES:
            if name in limit.limits and taken[name] > limit.usable(name):
                lines.append(
                    f"  {name} of {limit.nodes[0]}{others} ({limit.board}, {limit.device}): {amount(taken[name])} needed,"
                    f" {limit.told(name)} usable, {amount(taken[name] - limit.usable(name))} too many; {nearest}"
                )
                missing.add(name)
    for name, limit_ in FIELDS.items():
        most = max(each[name] for each in depths)
        if most > limit_:
            node = next(k for k, each in enumerate(depths) if each[name] == most)
            lines.append(f"  {name} of node {node} of a group: {most:,} needed, {limit_:,} exist; nearest mapping: {sizes}")
            missing.add(name)
    return lines, missing


def _fits(what: str, other: Description, missing: set[str]) -> str | None:
    """``what`` with the arithmetic of what failed before, where the change fits."""
    boards = limits(other)
    solved: Solved = Model(other, boards, "latency").first(TICKS)
    if solved.layout is None:
        return None
    task = Task.of(other)
    shape = shape_of(task, solved.layout)
    taken = usage(shape)
    terms = []
    for name in sorted(missing):
        if name in RESOURCES:
            least = min(limit.usable(name) for limit in boards if name in limit.limits)
            terms.append(f"{name} {amount(taken[name])} of {least:,}")
        else:
            terms.append(f"{name} {shape[name]:,} of {FIELDS[name]:,}")
    return f"{what} ({', '.join(terms)})" if terms else what


Changes = Iterator[tuple[str, Description]]


def _with(description: Description, section: str, **values: object) -> Description:
    return description.model_copy(update={section: getattr(description, section).model_copy(update=values)})


def _tokens(description: Description) -> Changes:
    tokens = (1 << (description.build.max_tokens - 1).bit_length()) // 2
    if not tokens or _fits("", _with(description, "build", max_tokens=1), set()) is None:
        return  # nothing in between does
    while tokens >= 1:
        yield f"build.max_tokens: {tokens}", _with(description, "build", max_tokens=tokens)
        tokens //= 2


def _outputs(description: Description) -> Changes:
    given = description.build.out_n
    now = OUT_N[0] if description.open["out_n"] else given if isinstance(given, int) else DEFAULT_LANES["out_n"]
    for out_n in sorted((n for n in OUT_N if n < now), reverse=True):
        yield f"build.out_n: {out_n}", _with(description, "build", out_n=out_n)


def _nodes(description: Description) -> Changes:
    if description.mapping.place is not None:
        return
    step, now = description.cluster.clusters, len(description.cluster.nodes)
    for count in range(now + step, min(MAX_NODES, now + MORE_NODES_TRIED * step) + 1, step):
        names = tuple(f"node{k}" for k in range(count))
        yield f"cluster.nodes: {count}", _with(description, "cluster", nodes=names)


def _boards(description: Description) -> Changes:
    """Larger boards for all nodes, by their block memories."""
    for name in larger_boards(description):
        yield f"cluster.board: {name}", _with(description, "cluster", board=name, boards={})
