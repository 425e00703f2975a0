"""Throws dice whose outcome depends on what they are named, on every machine."""

import bisect
import hashlib
import random
from collections.abc import Sequence
from itertools import accumulate
from typing import Generic, TypeVar

T = TypeVar("T")


class Dice:
    """A sequence of random choices that its name alone decides.

    Only `random.Random.random` is used: Python promises that it gives the same numbers for a seed
    in every version, and promises this of no other method.
    """

    def __init__(self, *name: object) -> None:
        text = "/".join(map(str, name))
        seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big")
        self._random = random.Random(seed).random  # noqa: S311 - a sample keeps no secret

    def chance(self, probability: float) -> bool:
        """Whether something of this probability happens."""
        return self._random() < probability

    def between(self, lowest: int, highest: int) -> int:
        """A whole number, both ends included."""
        return lowest + int(self._random() * (highest - lowest + 1))

    def pick(self, choices: Sequence[T]) -> T:
        """One of the choices, all equally likely."""
        return choices[int(self._random() * len(choices))]

    def pick_weighted(self, weights: "Weights[T]") -> T:
        """One of the choices by its weight."""
        return weights.at(int(self._random() * weights.total))

    def hexadecimal(self, digits: int) -> str:
        """This many hexadecimal digits."""
        return "".join(f"{self.between(0, 0xFFFF):04x}" for _ in range(-(-digits // 4)))[:digits]


class Weights(Generic[T]):
    """Choices that are not equally likely; whole weights, so that no rounding differs."""

    def __init__(self, choices: Sequence[T], weights: Sequence[int]) -> None:
        self._choices = choices
        self._ends = list(accumulate(weights, initial=0))[1:]
        self.total = self._ends[-1]
        """The sum of the weights."""

    @classmethod
    def zipf(cls, choices: Sequence[T]) -> "Weights[T]":
        """The n-th choice is n times rarer than the first, as names are in real apps."""
        return cls(choices, [1_000_000 // rank for rank in range(1, len(choices) + 1)])

    def at(self, place: int) -> T:
        """The choice at a place from 0 up to the total, exclusive."""
        return self._choices[bisect.bisect_right(self._ends, place)]
