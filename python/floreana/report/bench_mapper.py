# SPDX-License-Identifier: Apache-2.0
"""The mapper's line of `floreana bench`: what it chooses for clusters of BERT-base encoders, the bound it proves, and how long it takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from floreana.cluster.description import ClusterSection, Description, OpenMapping, SyntheticModel

TOKENS = 128
CASES: Mapping[str, tuple[int, int, int, dict[str, str]]] = {  # nodes, clusters, encoders, mapping
    "one encoder": (6, 1, 1, {"strategy": "auto"}),
    "one encoder, pipeline": (6, 1, 1, {"strategy": "pipeline"}),
    "one encoder, a count that tensor refuses": (5, 1, 1, {"strategy": "auto"}),
    "twelve encoders": (36, 1, 12, {"strategy": "auto"}),
    "twelve encoders, 12 clusters": (72, 12, 12, {"strategy": "auto"}),
}


def description(nodes: int, clusters: int, encoders: int, mapping: Mapping[str, str]) -> Description:
    """BERT-base encoders (hidden 768, 12 heads, FFN 3,072) on nodes of the default board, everything else left open."""
    return Description(
        name="bench",
        model=SyntheticModel(hidden=768, heads=12, ffn=3072, encoders=encoders),
        cluster=ClusterSection.model_validate({"nodes": nodes, "clusters": clusters}),
        mapping=OpenMapping.model_validate(dict(mapping)),
    )


def measure_mapper(clock: Callable[[], float] = time.process_time) -> list[dict[str, Any]]:
    """One entry a case; ``seconds``: of processor time, search and check by the plan together."""
    from floreana.cluster.mapper import choose

    rows = []
    for what, (nodes, clusters, encoders, mapping) in CASES.items():
        begin = clock()
        choice = choose(description(nodes, clusters, encoders, mapping))
        project = choice.project
        rows.append(
            {
                "what": what,
                "nodes": nodes,
                "objective": choice.objective,
                "found": f"{project.mapping.strategy}, {project.mapping.groups * clusters} group(s), "
                f"{project.build.k_lanes} x {project.build.out_n}",
                "cycles": choice.value,
                "bound": choice.bound,
                "gap": choice.gap,
                "timed": choice.timed,
                "ticks": round(choice.ticks, 2),
                "seconds": round(clock() - begin, 1),
            }
        )
    return rows
