"""What may have happened to an op that no old one takes the values of: `Guessing`.

It was replaced, rewired, put in, fused of several, or stands behind what was removed. Each is
tried, and rated by how far the two graphs agree ahead if it was so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from jitq_explore.snapshots.lens import DEEPEST, FAR, Side

WIDEST = 64
"""How many takers of one value are tried as partners of an op."""

_LONGEST = 4
"""How many ops in a row are tried as fused into one, or as removed."""

_FURTHEST = FAR[-1] + 1
"""Agreement that means: all that follows is the same."""

REWIRED = "the same op in the same place, on other values", 0.8
SWAPPED = "the same op on the same values in another order", 0.95
REPLACED = "in the same place", 0.7
BEHIND = "the same op behind what was removed", 0.9
FUSED = "does the work of a chain", 0.7


@dataclass(slots=True)
class Guess:
    """What may have happened to an op that has no partner on the same values."""

    score: float
    why: tuple[str, float] | None  # None: it was put in
    chain: tuple[int, ...] = ()
    value: str | None = None  # old value that an op put in hands on


@dataclass(slots=True)
class Guessing:
    """Guesses about two graphs that are paired in part, as far as that is known at the time.

    `taken`, `value` and `block` are those of `Propagation`, which goes on filling them.
    """

    old: Side
    new: Side
    taken: list[int]
    value: dict[str, str]
    block: dict[str, str]
    reach: int = DEEPEST  # how many hops ahead to look

    def best(self, number: int) -> Guess:
        """The first of the best; looking far ahead is dear, and done to part what is close."""
        self.reach = DEEPEST
        guesses = list(self._guesses(number))
        if sum(guess.score >= DEEPEST for guess in guesses) > 1:
            self.reach = FAR[-1]
            guesses = list(self._guesses(number))
        return max(guesses, key=lambda guess: guess.score, default=Guess(0.0, None))

    def _guesses(self, number: int) -> Iterator[Guess]:
        label, place, sources = self.new.keys[number]
        block = self.block.get(place)
        if block is None:
            return
        values = [self.value.get(name) for name in sources]
        for value in dict.fromkeys(v for v in values if v is not None):
            yield self._guess_put_in(number, value, block)
            for old, _ in self._free_users(value, block):
                yield self._guess_instead(number, old, values)
                yield from self._guess_chains(number, label, block, (old,))

    def _free_users(self, value: str, block: str) -> list[tuple[int, int]]:
        users = self.old.uses.get(value, ())[:WIDEST]
        return [
            use for use in users if self.taken[use[0]] < 0 and self.old.keys[use[0]][1] == block
        ]

    def _guess_put_in(self, number: int, value: str, block: str) -> Guess:
        """The op is new: what takes its result took the value itself before."""
        free = self._free_users(value, block)
        found: list[float] = []
        for result in self.new.results[number][:1]:
            for user, index in self.new.uses.get(result, ())[:WIDEST]:
                agreed = [self._agreed(old, user) for old, place in free if place == index]
                found.append(max(agreed, default=0.0))
            ends = self.old.ends.get(value, ())
            found.extend(
                _FURTHEST + 0.5 if end in ends else 0.0 for end in self.new.ends.get(result, ())
            )
        return Guess(sum(found) / len(found) if found else 0.3, None, value=value)

    def _guess_instead(self, number: int, old: int, values: list[str | None]) -> Guess:
        """The old op on the same value was replaced, or rewired."""
        score = float(self._agree(old, number))
        is_same = self.old.keys[old][0] == self.new.keys[number][0]
        sources = list(self.old.keys[old][2])
        if is_same and sources != values and sorted(sources) == sorted(map(str, values)):
            return Guess(2.0 * _FURTHEST, SWAPPED, (old,))
        if not score:
            # Something else happened right behind it as well.
            if is_same:
                return Guess(0.4, REWIRED, (old,))
            is_there = sources == values and not self._comes_later(old, number)
            return Guess(0.3 * is_there + self._part_ahead(old, number), REPLACED, (old,))
        score += 0.2 * self._shared(old, values) + self._likeness(old, number)
        return Guess(score + 0.5 * is_same, REWIRED if is_same else REPLACED, (old,))

    def _comes_later(self, old: int, new: int) -> bool:
        """Whether an op of the old one's label stands soon behind the new one."""
        label, edge = self.old.keys[old][0], [new]
        for _ in range(_LONGEST):
            edge = [user for number in edge for user, _ in self._users(self.new, number)][:WIDEST]
            if any(self.new.keys[user][0] == label for user in edge):
                return True
        return False

    def _part_ahead(self, old: int, new: int) -> float:
        """How far what takes the results of two ops agrees, where only a part of it does."""
        users = self._users(self.old, old)
        found = [
            max((self._agreed(k, user) for k, at in users if at == place), default=0.0)
            for user, place in self._users(self.new, new)
        ]
        return sum(found) / len(found) if found else 0.0

    def _agreed(self, old: int, new: int) -> float:
        """How far two ops of one label agree, as seen from what they take; 0 for other labels."""
        if self.old.keys[old][0] != self.new.keys[new][0]:
            return 0.0
        return _one_more(self._agree(old, new)) + self._likeness(old, new)

    @staticmethod
    def _users(side: Side, number: int) -> list[tuple[int, int]]:
        return [use for name in side.results[number] for use in side.uses.get(name, ())[:WIDEST]]

    def _guess_chains(
        self, number: int, label: str, block: str, chain: tuple[int, ...]
    ) -> Iterator[Guess]:
        """The op stands behind old ones that were removed, or does the work of them all."""
        last = chain[-1]
        users = [
            user for result in self.old.results[last] for user, _ in self._free_users(result, block)
        ]
        for user in dict.fromkeys(users):
            longer = (*chain, user)
            cost = 0.1 * len(chain)
            ahead = self._agree(user, number)
            if self.old.keys[user][0] == label:
                if ahead or self.old.exactly(user) == self.new.exactly(number):
                    score = ahead + self._likeness(user, number) + 0.6
                    yield Guess(score - cost, BEHIND, longer)
            elif ahead and len(users) == 1 and all(self.old.keys[k][0] != label for k in chain):
                score = ahead + self._likeness(user, number) + self._is_named_after(longer, number)
                yield Guess(score - cost, FUSED, longer)
            if len(longer) < _LONGEST and len(users) <= 2:
                yield from self._guess_chains(number, label, block, longer)

    def _is_named_after(self, chain: tuple[int, ...], number: int) -> bool:
        """Whether the kind of a new op names all ops of a chain: "conv2d_relu" does."""
        kind = self.new.ops[number].kind
        return all(self.old.keys[old][0].rpartition("::")[2] in kind for old in chain)

    def _agree(self, old: int, new: int) -> int:
        """How many hops ahead of two ops the graphs are the same; `_FURTHEST` is all the way."""
        if self.old.ahead(old, 1) != self.new.ahead(new, 1):
            return 0
        hops = 1
        while hops < DEEPEST and self.old.ahead(old, hops + 1) == self.new.ahead(new, hops + 1):
            hops += 1
        if hops < DEEPEST:
            return hops
        if self.old.all_ahead[old] == self.new.all_ahead[new]:
            return _FURTHEST
        for far in FAR if self.reach > DEEPEST else ():
            if self.old.ahead(old, far) != self.new.ahead(new, far):
                break
            hops = far
        return hops

    def _likeness(self, old: int, new: int) -> float:
        """What attributes and fixed inputs add to an agreement, 0 to 1.6."""
        hops = 0
        while hops < DEEPEST and self.old.ahead(old, hops + 1, exactly=True) == self.new.ahead(
            new, hops + 1, exactly=True
        ):
            hops += 1
        is_same = self.old.keys[old][0] == self.new.keys[new][0]
        exactly = self.old.exactly(old) == self.new.exactly(new) if is_same else hops > 0
        likeness = 0.1 * hops + exactly
        likeness += 0.05 * (self.old.threads(old) == self.new.threads(new))
        return likeness + self._kinship(old, new)

    def _kinship(self, old: int, new: int) -> float:
        """What module paths and the model's attributes add or take away, -3 to 1.2."""
        path = self.old.ops[old].module_path
        near = 0.2 * (path != "" and path == self.new.ops[new].module_path)
        mine, theirs = self.old.attributes(old), self.new.attributes(new)
        if not mine or not theirs:
            return near
        return near - 3.0 if mine.isdisjoint(theirs) else near + 1.0

    def _shared(self, old: int, values: list[str | None]) -> float:
        """Which part of an old op's sources is among the values, 0 to 1."""
        sources = self.old.keys[old][2]
        return sum(source in values for source in sources) / max(len(sources), len(values))


def _one_more(hops: int) -> int:
    """Agreement as seen from one op before."""
    return hops + 1 if hops < DEEPEST else hops
