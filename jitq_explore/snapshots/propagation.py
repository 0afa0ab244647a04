"""Pairs the ops of two graphs from their inputs on: `Propagation`.

An op is the op of the other graph that has its label and takes the same values, where "the same"
is known because the graph is gone through in order. That is one look-up an op (value numbering, as
in Merkle hashing, but with the partner's name in place of the hash, so that a change upstream is
forgotten as soon as it has been understood). It leaves two questions:

- *Several ops take the same values.* What they are exactly and what follows from them tells them
  apart, the strongest evidence first; where nothing does, they are each other's mirror images, and
  their order decides.
- *No op takes them.* Something was replaced, rewired, removed, put in or fused here. Each of these
  is tried, and the one wins after which the two graphs agree furthest ahead.

What cannot be told from its inputs is then told from what it feeds, backwards.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field

from jitq_explore.snapshots.guesses import BEHIND, WIDEST, Guessing
from jitq_explore.snapshots.lens import DEEPEST, Key, Side, is_kernel

SAME = "the same op on the same values", 1.0
AHEAD = "the same op on the same values, told from its like by what follows", 0.9
ALIKE = "the same op on the same values, in order", 0.7
FEEDS = "the same op, feeding the same", 0.8
INSTEAD = "in the same place, feeding the same", 0.6
BY_WEIGHT = "the same op with the same attributes of the model", 0.6
IN_ORDER = "the same op, in the order of the graph", 0.5


@dataclass(slots=True)
class Propagation:
    """The pairs found so far, by numbers of ops.

    `partner[k]` is the old op of the new op k (-1: none), `taken[k]` the new op of an old one.
    `chains` holds for a new op that stands for several old ones all of them, in order.
    """

    old: Side
    new: Side
    partner: list[int] = field(init=False)
    taken: list[int] = field(init=False)
    why: dict[int, tuple[str, float]] = field(default_factory=dict)
    chains: dict[int, tuple[int, ...]] = field(default_factory=dict)
    value: dict[str, str] = field(init=False)  # new value -> old value
    block: dict[str, str] = field(init=False)  # new block -> old block
    guessing: Guessing = field(init=False)
    behind: dict[str, list[str]] = field(default_factory=dict)  # old value -> what was behind it

    def __post_init__(self) -> None:
        self.partner = [-1] * len(self.new.ops)
        self.taken = [-1] * len(self.old.ops)
        inputs = self.new.graph.inputs, self.old.graph.inputs
        self.value = dict(zip(*inputs, strict=False))
        self.block = {"": ""}
        self.guessing = Guessing(self.old, self.new, self.taken, self.value, self.block)

    def run(self) -> None:
        """Forwards, backwards for what is left, and forwards from what that found."""
        self.forwards()
        if self.backwards():
            self.forwards()
        self.by_weights()
        if self.kernels_in_order():
            self.forwards()

    def pair(self, old: int, new: int, why: tuple[str, float]) -> None:
        """Note that two ops are the same, and their results with them."""
        self.partner[new], self.taken[old] = old, new
        if why is not SAME:
            self.why[new] = why
        theirs, ours = self.new.results[new], self.old.results[old]
        for one, other in zip(theirs, ours, strict=False):
            self.value[one] = other
        blocks = self.new.ops[new].blocks
        if blocks:
            self.block.update(zip(blocks, self.old.ops[old].blocks, strict=False))

    def forwards(self) -> None:
        """Every op without a partner, in order."""
        partner = self.partner
        for number in range(len(partner)):
            if partner[number] < 0 and not self._match(number):
                # What stands beside it may have a better claim to its candidates.
                for beside in self._beside(number):
                    if partner[beside] < 0:
                        self._match(beside)
                if not (self.behind and self._match_behind(number)):
                    self._explain(number)

    def _match(self, number: int) -> bool:
        """Find the old op with the label of a new one that takes the same values."""
        key = self.new.keys[number]
        label, place, sources = key
        value = self.value
        olds = self.old.same_keys.get(
            (label, self.block.get(place, "?"), tuple([value.get(name, "?") for name in sources]))
        )
        if olds is None:
            return False
        if len(olds) == 1 and self.taken[olds[0]] < 0 and len(self.new.same_keys[key]) == 1:
            old = olds[0]
            if self._may_be_shifted(old, number):
                return False
            self.pair(old, number, SAME)
            return True
        self._choose(olds, self.new.same_keys[key])
        return self.partner[number] >= 0

    def _match_behind(self, number: int) -> bool:
        """Like `_match`, behind ops that are known to be gone."""
        label, place, sources = self.new.keys[number]
        values = [self.value.get(name, "?") for name in sources]
        for index, value in enumerate(values):
            for other in self.behind.get(value, ()):
                taken = (*values[:index], other, *values[index + 1 :])
                key = label, self.block.get(place, "?"), taken
                free = [k for k in self.old.same_keys.get(key, ()) if self.taken[k] < 0]
                if free:
                    self.pair(free[0], number, BEHIND)
                    return True
        return False

    def _beside(self, number: int) -> Iterator[int]:
        """New ops that take what this one takes, and nothing that is not understood yet."""
        for name in self.new.keys[number][2]:
            for user, _ in self.new.uses[name][:WIDEST]:
                if user != number and all(s in self.value for s in self.new.keys[user][2]):
                    yield user

    def _choose(self, olds: list[int], news: list[int]) -> None:
        """Pair ops that take the same values: by what they are and what follows from them."""
        for why, look in _LOOKS:
            left = [k for k in olds if self.taken[k] < 0]
            right = [k for k in news if self.partner[k] < 0]
            if not left or not right:
                return
            others: dict[Hashable, list[int]] = {}
            for old in left:
                others.setdefault(look(self.old, old), []).append(old)
            for new in right:
                same = others.get(look(self.new, new))
                if same and not self._may_be_shifted(same[0], new, len(left) != len(right)):
                    self.pair(same.pop(0), new, why)

    def _may_be_shifted(self, old: int, new: int, is_uneven: bool = False) -> bool:
        """Whether an op more or less in a row of equal labels would be a better explanation."""
        in_a_row = old in self.old.in_a_row or new in self.new.in_a_row
        return in_a_row and not (
            self._is_alike(old, new)
            and not (is_uneven and self.old.ahead(old, 2) != self.new.ahead(new, 2))
            and not self._next_fits_better(old, new)
        )

    def _next_fits_better(self, old: int, new: int) -> bool:
        """Whether the next old op of the row is the same, and what follows from it, which is not
        what follows from this one."""
        ahead = self.new.ahead(new, 1)
        return self.old.ahead(old, 1) != ahead and any(
            self.old.ahead(following, 1) == ahead and self._is_alike(following, new)
            for following in self.old.next_in_row(old)
        )

    def _is_alike(self, old: int, new: int) -> bool:
        return self.old.exactly(old) == self.new.exactly(new) and self.old.threads(
            old
        ) == self.new.threads(new)

    def _explain(self, number: int) -> None:
        """Find out what happened to a new op that no old one takes the values of."""
        best = self.guessing.best(number)
        if best.why is not None and best.score > 0:
            self.pair(best.chain[-1], number, best.why)
            if best.why is BEHIND:
                self._note_gone(best.chain[:-1])
            elif len(best.chain) > 1:
                self.chains[number] = best.chain
                for old in best.chain:
                    self.taken[old] = number
            return
        sources = self.new.keys[number][2]
        handed = best.value or next((self.value[s] for s in sources if s in self.value), None)
        if handed is not None and self.new.results[number]:
            # Whatever stands behind it takes, in effect, what it takes.
            self.value[self.new.results[number][0]] = handed

    def _note_gone(self, chain: tuple[int, ...]) -> None:
        """What took the results of these takes now what the first of them took."""
        for source in self.old.keys[chain[0]][2]:
            self.behind.setdefault(source, []).extend(
                result for old in chain for result in self.old.results[old][:1]
            )

    def backwards(self) -> bool:
        """Ops without a partner, from what they feed; whether any was found."""
        found = False
        for number in range(len(self.new.ops) - 1, -1, -1):
            if self.partner[number] < 0:
                old = self._feeding_the_same(number)
                if old is not None:
                    is_same = self.old.keys[old][0] == self.new.keys[number][0]
                    self.pair(old, number, FEEDS if is_same else INSTEAD)
                    found = True
        return found

    def _feeding_the_same(self, number: int) -> int | None:
        """The one free old op that feeds what the new op feeds."""
        label, place, sources = self.new.keys[number]
        candidates = set()
        for result in self.new.results[number]:
            for user, index in self.new.uses.get(result, ())[:WIDEST]:
                partner = self.partner[user]
                taken = self.old.keys[partner][2] if partner >= 0 else ()
                if len(taken) != len(self.new.keys[user][2]):
                    continue
                candidates.add(self.old.maker.get(taken[index], -1))
            for end in self.new.ends.get(result, ()):
                if not end[0] and end[2] < len(self.old.graph.outputs):
                    value = self.old.seen_through(self.old.graph.outputs[end[2]])
                    candidates.add(self.old.maker.get(value, -1))
        if len(candidates) != 1:
            return None
        old = candidates.pop()
        if old < 0 or self.taken[old] >= 0 or self.old.keys[old][1] != self.block.get(place):
            return None
        if self.old.keys[old][0] == label:
            return old
        values = [self.value.get(name) for name in sources]
        return old if self._shared_or_none(old, values) else None

    def _shared_or_none(self, old: int, values: list[str | None]) -> bool:
        sources = self.old.keys[old][2]
        return any(s in values for s in sources) or not (sources or values)

    def kernels_in_order(self) -> bool:
        """Kernels that are left, with the ops they compute, where there are as many; whether any.

        Freezing decides an If on an attribute of the model, which nothing in the graph before
        tells. What stood in its blocks then stands outside, and the edges lead no further.
        """
        left = [k for k, partner in enumerate(self.partner) if partner < 0]
        kernels = [k for k in left if is_kernel(self.new.ops[k].kind)]
        ops = [k for k, partner in enumerate(self.taken) if partner < 0]
        by_label = _grouped(ops if kernels else (), lambda k: self.old.keys[k][0])
        found = False
        for label, news in _grouped(kernels, lambda k: self.new.keys[k][0]).items():
            olds = by_label.get(label, [])
            if len(olds) == len(news):
                found = True
                for old, new in zip(olds, news, strict=True):
                    self.pair(old, new, IN_ORDER)
        return found

    def by_weights(self) -> None:
        """What is left, by the model's own attributes that an op takes: they are its name."""
        news = _grouped((k for k, p in enumerate(self.partner) if p < 0), self._weights(self.new))
        news.pop(None, None)
        if not news:
            return
        olds = _grouped((k for k, p in enumerate(self.taken) if p < 0), self._weights(self.old))
        for weights, group in news.items():
            others = olds.get(weights, ())
            if len(group) == len(others) == 1:
                old, new = others[0], group[0]
                if self.old.keys[old][1] == self.block.get(self.new.keys[new][1]):
                    self.pair(old, new, BY_WEIGHT)

    @staticmethod
    def _weights(side: Side) -> Callable[[int], Hashable]:
        def weights(number: int) -> Hashable:
            attributes = side.attributes(number)
            return (side.keys[number][0], attributes) if attributes else None

        return weights


def _exactly(*hops: int, far: bool = False, path: bool = False) -> Callable[[Side, int], Hashable]:
    def look(side: Side, number: int) -> Hashable:
        return (
            side.exactly(number),
            *(side.ahead(number, far_off, exactly=True) for far_off in hops),
            side.all_ahead[number] if far else 0,
            (side.ops[number].module_path, side.ops[number].source) if path else "",
        )

    return look


def _roughly(hops: int) -> Callable[[Side, int], Hashable]:
    return lambda side, number: side.ahead(number, hops)


_LOOKS: tuple[tuple[tuple[str, float], Callable[[Side, int], Hashable]], ...] = (
    (AHEAD, _exactly(DEEPEST, far=True, path=True)),
    (AHEAD, _exactly(DEEPEST, far=True)),
    *((AHEAD, _exactly(hops)) for hops in range(DEEPEST, 2, -1)),
    (AHEAD, _exactly(2, path=True)),
    (AHEAD, _exactly(2)),
    (AHEAD, _exactly(1)),
    (AHEAD, lambda side, k: side.all_ahead[k]),
    *((AHEAD, _roughly(hops)) for hops in range(DEEPEST, 1, -1)),
    (AHEAD, _exactly(path=True)),
    (AHEAD, _roughly(1)),
    (AHEAD, _exactly()),
    (ALIKE, lambda side, k: side.ops[k].module_path),
    (ALIKE, lambda side, k: None),
)
"""What ops on the same values are told apart by, the strongest evidence first."""


def _grouped(numbers: Iterable[int], look: Callable[[int], Hashable]) -> dict[Hashable, list[int]]:
    groups: dict[Hashable, list[int]] = {}
    for number in numbers:
        groups.setdefault(look(number), []).append(number)
    return groups


__all__ = ["Key", "Propagation"]
