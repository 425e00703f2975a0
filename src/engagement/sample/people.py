"""Makes up devices and what lasts of them from session to session."""

from dataclasses import dataclass

from engagement.sample.dice import Dice
from engagement.sample.vocabulary import (
    APP_VERSIONS,
    HOMES,
    MODELS,
    SERVICE_VERSIONS,
    Home,
    Model,
)

SHARE_KNOWN = 0.6
"""Share of people who have signed in, so that a user id is sent."""
SHARE_FROM_START = 0.7
"""Share of devices that have the app before the sample begins."""
CRASHING_EVERY = 16
"""One device in so many crashes on its first day, so that small samples have crashes too."""

_PLATFORM_TOKENS = {"Android": "GCM", "Windows Phone": "WNS"}


@dataclass(slots=True, kw_only=True)
class Person:
    """A device and its owner; what may change over the days is not frozen."""

    number: int
    """Place in the sample, from 0."""
    device_id: str
    """A GUID, with or without dashes, as its SDK happens to write it."""
    user_id: str | None
    """Who is signed in."""
    model: Model
    """What kind of phone it is."""
    home: Home
    """Where it is."""
    app_version: tuple[int, str]
    """Version code and name of the app; grows."""
    service_version: str
    """Version of the SDK."""
    sessions_per_day: int
    """How often its owner takes it up on a usual day."""
    first_day: int
    """The day on which the app is installed, from 0."""
    writes_offset: bool
    """Whether its SDK writes times with the local offset instead of Z."""
    sends_session_ids: bool
    """Whether its SDK names sessions; else the service tells them apart by silence."""
    sessions: int = 0
    """Sessions so far."""
    token: str | None = None
    """Its current push token."""

    @property
    def token_type(self) -> str:
        """The push service of its platform."""
        return _PLATFORM_TOKENS.get(self.model[2], "APNS")


def make_person(seed: int, number: int, days: int) -> Person:
    """The device of this number in a sample."""
    dice = Dice(seed, "person", number)
    digits = dice.hexadecimal(32)
    dashed = "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
    is_early = number % CRASHING_EVERY == 0 or dice.chance(SHARE_FROM_START)
    return Person(
        number=number,
        device_id=dashed.upper() if dice.chance(0.2) else digits,
        user_id=f"user-{number:06d}@example.org" if dice.chance(SHARE_KNOWN) else None,
        model=dice.pick_weighted(MODELS),
        home=dice.pick_weighted(HOMES),
        app_version=dice.pick(APP_VERSIONS[:-1]),
        service_version=dice.pick(SERVICE_VERSIONS),
        sessions_per_day=dice.between(1, 6),
        first_day=0 if is_early else dice.between(0, days - 1),
        writes_offset=dice.chance(0.3),
        sends_session_ids=dice.chance(0.9),
    )
