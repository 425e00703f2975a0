"""Tests how long a session of the console lasts, and what ends it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from engagement import operations
from engagement.exceptions import ForbiddenError, NotAuthenticatedError
from engagement.model.access import Caller, Grant, NewClient, ProvenClient, Role, Scope
from engagement.model.console import NewConsoleSession, SignInMethod
from engagement.runtime.opening import Runtime, open_service
from engagement.settings import Settings

IDLE, LONGEST = timedelta(minutes=60), timedelta(hours=12)


class Clock:
    """Shows a time that moves when it is told to."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def runtime(tmp_path: Path, clock: Clock) -> Iterator[Runtime]:
    with open_service(Settings(home=tmp_path), run_tasks=False, clock=clock) as runtime:
        yield runtime


def _client(runtime: Runtime, **more: int) -> NewClient:
    return operations.create_client(
        runtime, name="n", role=Role.EXPORTER, scope=Scope.parse("/subscriptions/s"), **more
    )


def _prove(runtime: Runtime, client: NewClient) -> ProvenClient:
    proven = operations.authenticate_client(runtime, client.client.client_id, client.client_secret)
    assert proven is not None
    return proven


def _sign_in(runtime: Runtime, client: NewClient) -> NewConsoleSession:
    return operations.open_session_of_client(runtime, _prove(runtime, client))


def test_a_session_has_the_grants_of_its_client(runtime: Runtime) -> None:
    client = _client(runtime)
    new_session = _sign_in(runtime, client)

    found = operations.find_console_session(runtime, new_session.token)

    assert found == new_session.session
    assert found.caller.grants[0].role is Role.EXPORTER
    assert found.caller.grants[0].scope == client.client.scope
    assert operations.find_console_session(runtime, new_session.token + "x") is None


def test_a_session_ends_when_it_is_not_used(runtime: Runtime, clock: Clock) -> None:
    new_session = _sign_in(runtime, _client(runtime))

    clock.now += IDLE - timedelta(seconds=1)
    assert operations.find_console_session(runtime, new_session.token)
    clock.now += IDLE - timedelta(seconds=1)
    assert operations.find_console_session(runtime, new_session.token)
    clock.now += IDLE
    assert operations.find_console_session(runtime, new_session.token) is None
    clock.now -= IDLE
    assert operations.find_console_session(runtime, new_session.token) is None


def test_a_session_ends_however_much_it_is_used(runtime: Runtime, clock: Clock) -> None:
    new_session = _sign_in(runtime, _client(runtime))
    ends_at = clock.now + LONGEST

    while clock.now + IDLE / 2 < ends_at:
        clock.now += IDLE / 2
        assert operations.find_console_session(runtime, new_session.token)
    clock.now = ends_at

    assert operations.find_console_session(runtime, new_session.token) is None


def test_a_session_does_not_outlast_the_secret_that_opened_it(
    runtime: Runtime, clock: Clock
) -> None:
    client = _client(runtime, secret_days=1)
    clock.now += timedelta(days=1) - timedelta(minutes=10)
    new_session = _sign_in(runtime, client)

    assert new_session.session.ends_at == clock.now + timedelta(minutes=10)


@pytest.mark.parametrize("end", ["revoke", "rotate"])
def test_what_ends_a_client_ends_its_sessions(runtime: Runtime, end: str) -> None:
    client = _client(runtime)
    new_session = _sign_in(runtime, client)

    if end == "revoke":
        operations.revoke_client(runtime, client.client.client_id)
    else:
        operations.rotate_client(runtime, client.client.client_id)

    assert operations.find_console_session(runtime, new_session.token) is None


def test_a_session_can_be_ended_from_the_list(runtime: Runtime) -> None:
    client = _client(runtime)
    kept, ended = _sign_in(runtime, client), _sign_in(runtime, client)

    assert operations.end_console_session(runtime, ended.session.session_id)
    assert not operations.end_console_session(runtime, ended.session.session_id)

    assert operations.list_console_sessions(runtime) == [kept.session]
    assert operations.find_console_session(runtime, ended.token) is None
    assert kept.token not in repr(kept)


def test_a_code_works_once_and_for_five_minutes(runtime: Runtime, clock: Clock) -> None:
    code, late = (operations.create_sign_in_code(runtime) for _ in range(2))

    new_session = operations.open_session_by_code(runtime, code.code)
    assert new_session.session.method is SignInMethod.CODE
    assert new_session.session.caller.grants[0].scope.path == "/"
    with pytest.raises(NotAuthenticatedError, match="works once"):
        operations.open_session_by_code(runtime, code.code)
    clock.now += timedelta(minutes=5)
    with pytest.raises(NotAuthenticatedError, match="five minutes"):
        operations.open_session_by_code(runtime, late.code)


@pytest.mark.parametrize("hours", [1, 100])
def test_a_session_of_an_issuers_user_does_not_outlast_its_word(
    tmp_path: Path, clock: Clock, hours: int
) -> None:
    issuer = "https://login.example"
    grants = (Grant(role=Role.READER, scope=Scope()),)
    rights_end_at = clock() + timedelta(hours=hours)
    settings = Settings(home=tmp_path, issuers=(issuer,), issuer_audience="a")
    with open_service(settings, run_tasks=False, clock=clock) as runtime:
        user = Caller(client_id=f"{issuer} ada", grants=grants)
        made = operations.open_session_of_user(
            runtime, user, name="Ada", rights_end_at=rights_end_at
        )

        found = operations.find_console_session(runtime, made.token)

    assert found is not None
    assert (found.method, found.caller) == (SignInMethod.ISSUER, user)
    assert found.ends_at == min(rights_end_at, clock() + LONGEST)
    with open_service(Settings(home=tmp_path), run_tasks=False, clock=clock) as runtime:
        assert operations.find_console_session(runtime, made.token) is None


def test_whom_an_issuer_gives_no_role_gets_no_session(runtime: Runtime, clock: Clock) -> None:
    nobody = Caller(client_id="https://login.example cleo", grants=())

    with pytest.raises(ForbiddenError, match="the claim `roles`"):
        operations.open_session_of_user(
            runtime, nobody, name="Cleo", rights_end_at=clock() + LONGEST
        )

    assert operations.list_console_sessions(runtime) == []
