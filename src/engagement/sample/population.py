"""Generates the days of all devices of a sample as native batches."""

import json
from collections.abc import Iterator
from datetime import date

from engagement.sample.clock import MILLISECONDS_PER_DAY, rfc_3339, start_of
from engagement.sample.dice import Dice
from engagement.sample.people import Person, make_person
from engagement.sample.visits import (
    JOB_MILLISECONDS_MAX,
    SCREEN_MILLISECONDS_MAX,
    SCREENS_MAX,
    Visit,
)
from engagement.sample.vocabulary import APP_VERSIONS, HOUR_WEIGHTS, NETWORKS

VISIT_MILLISECONDS_MAX = SCREENS_MAX * SCREEN_MILLISECONDS_MAX + JOB_MILLISECONDS_MAX
PAUSE_MILLISECONDS_MIN = 300_000
"""Silence between two sessions of a device; longer than any session time-out."""


def generate(
    *, devices: int, days: int, seed: int, first_day: date = date(2026, 1, 1)
) -> Iterator[bytes]:
    """Yield native batches, one a session, day after day, the same for the same arguments.

    All times are within the days, in UTC. Nothing is kept of a batch once it is yielded.

    Args:
        devices: How many devices report.
        days: How many days they are watched.
        seed: Which sample; another seed gives other devices.
        first_day: The first of the days.

    Yields:
        A batch as compact JSON in one line, without the line's end.
    """
    people = [make_person(seed, number, days) for number in range(devices)]
    for day in range(days):
        midnight = start_of(first_day) + day * MILLISECONDS_PER_DAY
        # Sessions may cross midnight, but not the end of the sample.
        spare = VISIT_MILLISECONDS_MAX if day == days - 1 else 0
        for person in people:
            if person.first_day <= day:
                dice = Dice(seed, "day", person.number, day)
                yield from _day(person, dice, midnight, MILLISECONDS_PER_DAY - spare)


def _day(person: Person, dice: Dice, midnight: int, latest: int) -> Iterator[bytes]:
    """The batches of one device's day, whose sessions start before `latest`."""
    free_from = midnight
    for start in _starts(person, dice, latest):
        if midnight + start < free_from:
            continue
        visit = Visit(person, dice, midnight + start)
        visit.make_up()
        free_from = visit.now + PAUSE_MILLISECONDS_MIN
        yield _batch(person, dice, visit)


def _starts(person: Person, dice: Dice, latest: int) -> list[int]:
    """When in the UTC day the owner takes up the phone, by the rhythm of the local day."""
    sessions = dice.between(0, 2 * person.sessions_per_day)
    if person.sessions == 0:
        sessions = max(1, sessions)  # whoever installs the app opens it
    starts = []
    for _ in range(sessions):
        minute = dice.pick_weighted(HOUR_WEIGHTS) * 60 + dice.between(0, 59) - person.home[1]
        starts.append(minute % 1440 * 60_000 + dice.between(0, 59_999))
    return sorted(min(start, latest - 1) for start in starts)


def _batch(person: Person, dice: Dice, visit: Visit) -> bytes:
    locale, offset, country, region, town, carrier = person.home
    manufacturer, model, system, version, api_level, width, height = person.model
    network, subtype = dice.pick_weighted(NETWORKS)
    if dice.chance(0.02):
        person.app_version = _next_version(person.app_version)
    info = {
        "firmwareName": system,
        "firmwareVersion": version,
        "androidAPILevel": api_level,
        "phoneModel": model,
        "phoneManufacturer": manufacturer,
        "screenWidth": width,
        "screenHeight": height,
        "applicationVersionCode": person.app_version[0],
        "applicationVersionName": person.app_version[1],
        "carrierName": carrier,
        "carrierCountry": country.lower(),
        "networkType": network,
        "networkSubtype": subtype,
        "locale": locale,
        "timeZoneOffset": offset,
        "serviceVersion": person.service_version,
    }
    batch: dict[str, object] = {
        "batchId": dice.hexadecimal(32),
        "sentAt": rfc_3339(visit.now + dice.between(500, 90_000), None),
        "deviceId": person.device_id,
    }
    if person.user_id is not None:
        batch["userId"] = person.user_id
    batch["info"] = {key: value for key, value in info.items() if value not in {None, ""}}
    if dice.chance(0.7):
        batch["location"] = {"countrycode": country, "region": region, "locality": town}
    batch["logs"] = visit.records
    return json.dumps(batch, ensure_ascii=False, separators=(",", ":")).encode()


def _next_version(version: tuple[int, str]) -> tuple[int, str]:
    return APP_VERSIONS[min(APP_VERSIONS.index(version) + 1, len(APP_VERSIONS) - 1)]
