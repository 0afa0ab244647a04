"""What the explorer shows at a moment, as a frozen object with its moves. No ipywidgets here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Selection:
    """One of the stages, and the text that nodes are filtered by ("": no filter).

    `stages` are names, in order, "input" for the model as it was given among them; `index` counts
    from 0. Every move gives a new selection, or the same one where there is nowhere to go.
    """

    stages: tuple[str, ...]
    index: int = 0
    node_filter: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.index < len(self.stages):
            raise ValueError(f"no stage number {self.index} (there are {len(self.stages)})")

    @property
    def stage(self) -> str:
        """The name of the chosen stage."""
        return self.stages[self.index]

    @property
    def is_first(self) -> bool:
        """Whether there is no stage before the chosen one."""
        return self.index == 0

    @property
    def is_last(self) -> bool:
        """Whether there is no stage after the chosen one."""
        return self.index == len(self.stages) - 1

    def next(self) -> Selection:
        """One stage on."""
        return self if self.is_last else replace(self, index=self.index + 1)

    def previous(self) -> Selection:
        """One stage back."""
        return self if self.is_first else replace(self, index=self.index - 1)

    def last(self) -> Selection:
        """The newest stage."""
        return replace(self, index=len(self.stages) - 1)

    def choose(self, stage: str) -> Selection:
        """The stage of that name; ValueError, which lists the stages, for a name that is none."""
        if stage not in self.stages:
            raise ValueError(f"unknown stage {stage!r} (must be one of {list(self.stages)})")
        return replace(self, index=self.stages.index(stage))

    def filtered(self, text: str) -> Selection:
        """With another filter; spaces around it do not count."""
        return replace(self, node_filter=text.strip())

    def with_stages(self, stages: Sequence[str]) -> Selection:
        """Over other stages, as when a run goes on; the chosen one stays, else it is the last."""
        stages = tuple(stages)
        kept = stages.index(self.stage) if self.stage in stages else len(stages) - 1
        return replace(self, stages=stages, index=kept)
