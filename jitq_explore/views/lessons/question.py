"""A question, what can be answered, and how an answer is marked."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Option:
    """Something to be chosen; `reason` says why it is right, or why not."""

    label: str
    is_right: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How good an answer was: `score` from 0 to 1, and a sentence."""

    score: float
    text: str


@dataclass(frozen=True, slots=True)
class Choice:
    """A question whose answer is the set of all right options (`is_single`: one of them)."""

    prompt: str
    options: tuple[Option, ...]
    explanation: str
    is_single: bool = False

    def mark(self, chosen: Collection[int]) -> Verdict:
        """Marks the options of those numbers: each that is on its right side counts the same.

        IndexError for a number that no option has.
        """
        for number in chosen:
            if not 0 <= number < len(self.options):
                raise IndexError(f"option {number} of {len(self.options)}")
        right = {number for number, option in enumerate(self.options) if option.is_right}
        missed, wrong = right.difference(chosen), set(chosen) - right
        if self.is_single:
            hit = bool(right.intersection(chosen)) and not wrong
            return Verdict(float(hit), "Right." if hit else "Not so.")
        score = 1 - len(missed | wrong) / len(self.options)
        if not (missed or wrong):
            return Verdict(1.0, "All right.")
        parts = [f"{len(missed)} missed"] if missed else []
        parts += [f"{len(wrong)} too many"] if wrong else []
        return Verdict(score, f"{' and '.join(parts)} of {len(self.options)}.")


@dataclass(frozen=True, slots=True)
class Number:
    """A question whose answer is a number, right within `tolerance` (absolute)."""

    prompt: str
    answer: float
    tolerance: float
    explanation: str

    def mark(self, given: float) -> Verdict:
        """Half of the score for an answer within ten times the tolerance."""
        off = abs(given - self.answer)
        if not math.isfinite(off) or off > 10 * self.tolerance:
            return Verdict(0.0, f"Not so: it is {self.answer:.5g}.")
        if off > self.tolerance:
            return Verdict(0.5, f"Nearly: it is {self.answer:.5g}.")
        return Verdict(1.0, f"Right: it is {self.answer:.5g}.")


Question = Choice | Number
