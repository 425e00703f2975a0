"""Makes up what happens in one session: the records that a device would send."""

from engagement.sample.clock import rfc_3339
from engagement.sample.dice import Dice
from engagement.sample.people import CRASHING_EVERY, Person
from engagement.sample.vocabulary import (
    CAMPAIGN_TYPES,
    CRASHES,
    ERROR_NAMES,
    EVENT_NAMES,
    FEEDBACKS,
    FIRST_SCREENS,
    JOB_NAMES,
    NEXT_SCREENS,
    PLANS,
    TEXTS,
    TOPICS,
)

SCREENS_MAX = 20
SCREEN_MILLISECONDS_MAX = 90_000
JOB_MILLISECONDS_MAX = 480_000
CHANCE_OF_CRASH = 0.008
CHANCE_OF_ERROR = 0.04
CHANCE_OF_JOB = 0.15
CHANCE_OF_CAMPAIGN = 0.1
CHANCE_OF_NEW_TOKEN = 0.04
CHANCE_OF_TAG_CHANGE = 0.25

Record = dict[str, object]
"""One record of a batch."""


class Visit:
    """One session of a person, record by record."""

    def __init__(self, person: Person, dice: Dice, start: int) -> None:
        self.records: list[Record] = []
        """The records so far."""
        self.now = start
        """Milliseconds since 1970."""
        self._person = person
        self._dice = dice
        self._offset = person.home[1] if person.writes_offset else None
        self._in_session: Record = (
            {"sessionId": dice.hexadecimal(32)} if person.sends_session_ids else {}
        )

    def make_up(self) -> None:
        """Make up the session; afterwards `now` is its end."""
        self._person.sessions += 1
        is_first = self._person.sessions == 1
        self._register(is_first=is_first)
        self._feedback(is_first=is_first)
        if is_first or self._dice.chance(CHANCE_OF_JOB):
            self._job()
        will_crash = is_first and self._person.number % CRASHING_EVERY == 0
        if will_crash:
            self._add(
                "error", self.now, name="http_500", **self._in_session, extras={"status": 500}
            )
        will_crash = will_crash or self._dice.chance(CHANCE_OF_CRASH)
        screen = self._dice.pick_weighted(FIRST_SCREENS)
        for left in range(self._screens(), 0, -1):
            is_crash = will_crash and left == 1
            self._screen(screen, is_crash=is_crash)
            screen = self._dice.pick_weighted(NEXT_SCREENS[screen])
        if will_crash:
            self._crash()
        elif self._dice.chance(CHANCE_OF_TAG_CHANGE):
            self._change_tags()

    def _add(self, record_type: str, at: int, **fields: object) -> None:
        when = rfc_3339(at, self._offset)
        self.records.append({"type": record_type, "timestamp": when, **fields})

    def _register(self, *, is_first: bool) -> None:
        person, dice = self._person, self._dice
        if is_first:
            tags = {
                "plan": dice.pick(PLANS),
                "age": dice.between(16, 90),
                "newsletter": dice.chance(0.4),
                "birthday": f"{dice.between(1936, 2010)}-{dice.between(1, 12):02}"
                f"-{dice.between(1, 28):02}",
                "favourite_topic": dice.pick_weighted(TOPICS),
            }
            self._add("tags", self.now, tags=tags)
        if not is_first and not dice.chance(CHANCE_OF_NEW_TOKEN):
            return
        if person.token is not None:
            self._add(
                "token", self.now, token=person.token, tokenType=person.token_type, valid=False
            )
        person.token = dice.hexadecimal(64)
        self._add("token", self.now, token=person.token, tokenType=person.token_type)

    def _feedback(self, *, is_first: bool) -> None:
        """What became of a campaign's message; everyone gets the first one, a welcome."""
        if not is_first and not self._dice.chance(CHANCE_OF_CAMPAIGN):
            return
        campaign = 1 if is_first else self._dice.between(2, len(CAMPAIGN_TYPES))
        at = self.now
        for status in self._dice.pick_weighted(FEEDBACKS):
            self._add(
                "feedback",
                at,
                campaignType=CAMPAIGN_TYPES[campaign - 1],
                campaignId=campaign,
                status=status,
            )
            at += self._dice.between(300, 9000)

    def _job(self) -> None:
        dice = self._dice
        job_id, start = dice.hexadecimal(32), self.now + dice.between(5, 500)
        end = start + dice.between(20, JOB_MILLISECONDS_MAX)
        fields: Record = {} if dice.chance(0.2) else {"end": rfc_3339(end, self._offset)}
        if dice.chance(0.9):
            fields["jobId"] = job_id
            self._add("event", start + 10, name="job progress", jobId=job_id, extras={"done": 0.5})
            if dice.chance(0.2):
                self._add("error", start + 15, name=dice.pick_weighted(ERROR_NAMES), jobId=job_id)
        name = dice.pick_weighted(JOB_NAMES)
        self._add("job", start, name=name, **fields, extras={"bytes": dice.between(0, 2**40)})

    def _screens(self) -> int:
        screens = 1
        while screens < SCREENS_MAX and self._dice.chance(0.8):
            screens += 1
        return screens

    def _screen(self, name: str, *, is_crash: bool) -> None:
        """A screen and what is done there; one that crashes never ends."""
        dice = self._dice
        start = self.now
        end = start + dice.between(400, SCREEN_MILLISECONDS_MAX) // dice.between(1, 12)
        fields: Record = {} if is_crash else {"end": rfc_3339(end, self._offset)}
        if dice.chance(0.4):
            fields["extras"] = self._extras()
        self._add("activity", start, name=name, **self._in_session, **fields)
        for at in sorted(dice.between(start, end) for _ in range(dice.between(0, 5))):
            self._event(at)
        if dice.chance(CHANCE_OF_ERROR):
            extras: Record = {"status": dice.pick((0, 404, 500, 503)), "detail": dice.pick(TEXTS)}
            error = dice.pick_weighted(ERROR_NAMES)
            self._add("error", end, name=error, **self._in_session, extras=extras)
        self.now = end

    def _event(self, at: int) -> None:
        dice = self._dice
        fields: Record = {"extras": self._extras()} if dice.chance(0.85) else {}
        # A few things happen outside of any session, such as a message that arrives.
        session = {} if dice.chance(0.03) else self._in_session
        self._add("event", at, name=dice.pick_weighted(EVENT_NAMES), **session, **fields)

    def _extras(self) -> Record:
        dice = self._dice
        extras: Record = {"item": dice.pick(TEXTS), "position": dice.between(0, 40)}
        if dice.chance(0.5):
            extras["price"] = dice.between(99, 99_999) / 100
        if dice.chance(0.3):
            extras["topic"] = dice.pick_weighted(TOPICS)
            extras["in_stock"] = dice.chance(0.9)
        if dice.chance(0.1):
            extras["sku"] = dice.between(10**15, 10**17)
            extras["discount"] = None
        if dice.chance(0.03):
            extras["sizes"] = {"EU": [dice.between(36, 47)], "fits": dice.pick(TEXTS)}
        return extras

    def _crash(self) -> None:
        name, stack = self._dice.pick_weighted(CRASHES)
        trace = stack.replace("{line}", str(self._dice.between(10, 999)))
        self._add("crash", self.now, name=name, **self._in_session, stack=trace)

    def _change_tags(self) -> None:
        dice = self._dice
        tags: Record = {"basket_value": dice.between(0, 50_000)}
        if dice.chance(0.3):
            tags["coupon"] = None if dice.chance(0.5) else dice.pick(TEXTS)
        if dice.chance(0.15):
            tags["favourite_topic"] = None if dice.chance(0.3) else dice.pick_weighted(TOPICS)
        if dice.chance(0.1):
            tags["plan"] = dice.pick(PLANS)
        self._add("tags", self.now, tags=tags)
