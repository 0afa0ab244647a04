"""The frames around the boxes of a picture."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from jitq_explore.views.boxes import Box, Cluster, Picture, Region, region_id
from jitq_explore.views.flow import Flow


def clusters_of(picture: Picture) -> Cluster:
    """The frames of the picture's modules and blocks, inside one that is around all.

    A module with a single child, a box or another frame, gets no frame: it would only say twice
    what stands in it. A module that is called twice gets a frame a call, for one around both would
    have to hold whatever happens in between.
    """
    return _Framer(picture).cluster((), picture.boxes, "m-")


class _Framer:
    def __init__(self, picture: Picture) -> None:
        self.flow = Flow(picture)
        self.used: dict[str, int] = {}

    def cluster(self, region: Region, boxes: Sequence[Box], cluster_id: str) -> Cluster:
        own = [box for box in boxes if box.region == region]
        below: dict[Region, list[Box]] = {}
        for box in boxes:
            if box.region != region:
                below.setdefault(box.region[: len(region) + 1], []).append(box)
        inner = [
            self.cluster(next_region, part, self.new_id(next_region))
            for next_region, members in below.items()
            for part in self.flow.calls(members)
        ]
        needless = [cluster for cluster in inner if _is_needless(cluster)]
        return Cluster(
            id=cluster_id,
            region=region,
            boxes=(*own, *chain.from_iterable(cluster.boxes for cluster in needless)),
            inner=tuple(
                chain.from_iterable(
                    cluster.inner if cluster in needless else (cluster,) for cluster in inner
                )
            ),
        )

    def new_id(self, region: Region) -> str:
        base = region_id(region)
        count = self.used.get(base, 0)
        self.used[base] = count + 1
        return f"{base}-{count}" if count else base


def _is_needless(cluster: Cluster) -> bool:
    return not cluster.region[-1].is_block and len(cluster.boxes) + len(cluster.inner) < 2
