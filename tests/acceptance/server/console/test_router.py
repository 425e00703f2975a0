"""Tests every route of the console: who may come in, what is not told, and what has no barrier."""

import io
import json
import secrets
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from engagement import operations
from engagement.model.access import Role
from engagement.model.export_lists import ExportFilter
from engagement.model.refused import RefusedFilter
from engagement.runtime.opening import Runtime
from engagement.server.console.router import PAGES, PREFIX
from support.browser import WIDTHS, Window
from support.canary import has_secret
from support.console import Visitor, register, visiting
from support.hostile import EXECUTED, list_hostile
from support.server_process import Credentials, RunningServer
from support.visited_app import Place, fill

Open = Callable[..., Window]
QUICK_COUNT, WHOLE_COUNT = 20, 200
SECRETS_COUNT = 40
ANYONE, SCOPED, EVERYTHING = "anyone", "scoped", "everything"
READ = {
    "/": ANYONE,
    "/exports": ANYONE,
    "/exports/new": ANYONE,
    "/exports/{task_id}": Role.READER,
    "/exports/{task_id}/manifest": Role.READER,
    "/apps": ANYONE,
    "/apps/{app_id}": Role.READER,
    "/apps/{app_id}/settings": Role.OWNER,
    "/apps/{app_id}/delete": Role.OWNER,
    "/apps/{app_id}/names": Role.READER,
    "/apps/{app_id}/versions": Role.READER,
    "/apps/{app_id}/newest": Role.READER,
    "/apps/{app_id}/snippets": Role.READER,
    "/apps/{app_id}/keys": Role.OWNER,
    "/apps/{app_id}/refused": Role.READER,
    "/apps/{app_id}/refused/{refused_id}": Role.OWNER,
    "/apps/{app_id}/devices": Role.READER,
    "/apps/{app_id}/devices/{deviceId}": Role.READER,
    "/apps/{app_id}/devices/{deviceId}/erase": Role.OWNER,
    "/apps/{app_id}/exports": Role.READER,
    "/apps/{app_id}/exports/new": Role.EXPORTER,
    "/access": ANYONE,
    "/access/changes": SCOPED,
    "/system": EVERYTHING,
    "/system/diagnostics": EVERYTHING,
}
"""Who may read a page: anyone who signs in, who has a role for the app, who owns something, or who
sees everything."""
MANIFEST = "/exports/{task_id}/manifest"
BUNDLE = "/system/diagnostics"
WRITE = {
    "/exports/{task_id}/cancel": Role.EXPORTER,
    "/exports/{task_id}/retry": Role.EXPORTER,
    "/apps/{app_id}/keys": Role.OWNER,
    "/apps/{app_id}/rename": Role.OWNER,
    "/apps/{app_id}/retention": Role.OWNER,
    "/apps/{app_id}/delete": Role.OWNER,
    "/apps/{app_id}/keys/{key_id}/rotate": Role.OWNER,
    "/apps/{app_id}/keys/{key_id}/revoke": Role.OWNER,
    "/apps/{app_id}/refused/replay": Role.OWNER,
    "/apps/{app_id}/refused/drop": Role.OWNER,
    "/apps/{app_id}/devices/{deviceId}/erase": Role.OWNER,
    "/apps/{app_id}/exports/new": Role.EXPORTER,
}
"""Who may send a form about an app."""
ELSEWHERE = frozenset(
    {
        "/apps",
        "/access",
        "/access/clients/{client_id}/rotate",
        "/access/clients/{client_id}/revoke",
        "/access/sessions/{session_id}/end",
    }
)
"""Forms that are about no app."""


@pytest.fixture(scope="module")
def everything(server: RunningServer, beside: Runtime, owner: Credentials) -> Iterator[Visitor]:
    """The owner of everything."""
    with visiting(server, beside, owner) as visitor:
        yield visitor


@pytest.fixture(scope="module")
def visited(server: RunningServer, beside: Runtime, everything: Visitor) -> Place:
    """An app whose words are hostile."""
    texts = list_hostile(QUICK_COUNT)
    name = texts[1].replace("/", "")
    return fill(server, beside, everything, texts, name=name, place="visited")


@pytest.fixture(scope="module")
def visitors(server: RunningServer, beside: Runtime) -> Iterator[dict[str, Visitor]]:
    """Somebody of each role for the app, and the owner of another one."""
    scope = "/subscriptions/visited"
    registered = {role.value: register(beside, role, scope) for role in Role}
    registered["stranger"] = register(beside, Role.OWNER, "/subscriptions/elsewhere")
    with ExitStack() as closing:
        yield {
            name: closing.enter_context(visiting(server, beside, credentials))
            for name, credentials in registered.items()
        }


def test_every_route_has_its_place_in_the_matrix() -> None:
    assert {page.path for page in PAGES if page.show} == {*READ}
    assert {page.path for page in PAGES if page.submit} == {*WRITE, *ELSEWHERE}


@pytest.mark.parametrize("who", [*Role, "stranger"])
def test_pages_are_read_by_who_may(visitors: dict[str, Visitor], visited: Place, who: str) -> None:
    answers = {path: visitors[who].get(visited.path(path)) for path in READ}

    wanted = {path: expected_reading(path, needed, who) for path, needed in READ.items()}
    assert {path: answer.status_code for path, answer in answers.items()} == wanted
    if who == "stranger":
        leaks = [path for path, answer in answers.items() if "onerror" in answer.text]
        assert leaks == []
        own = (visited.app.app_id, visited.values["task_id"])
        leaked = [
            path
            for path, answer in answers.items()
            if "{" not in path and any(word in answer.text for word in own)
        ]
        assert leaked == []


def expected_reading(path: str, needed: str, who: str) -> int:
    """What a page answers to somebody."""
    if path == "/exports/new" and who in {Role.EXPORTER, Role.OWNER}:
        return 303  # to the form of the only app
    if needed is ANYONE:
        return 200
    if needed is EVERYTHING:
        return 403
    if needed is SCOPED:
        return 200 if who in {Role.OWNER, "stranger"} else 403
    if who == "stranger":
        return 404
    return 200 if Role(who).includes(Role(needed)) else 403


@pytest.mark.parametrize("who", [Role.READER, Role.EXPORTER, "stranger"])
def test_forms_change_nothing_for_who_may_not(
    visitors: dict[str, Visitor], visited: Place, beside: Runtime, who: str
) -> None:
    before = state_of(beside, visited)
    for page in PAGES:
        if page.submit is None or page.path in ELSEWHERE:
            continue
        is_stranger = who == "stranger"
        if not is_stranger and Role(who).includes(Role(WRITE[page.path])):
            continue
        answer = visitors[who].post(visited.path(page), page.form, {"confirmation": "0" * 32})
        assert answer.status_code == (404 if is_stranger else 403), page.path

    assert state_of(beside, visited) == before


def test_forms_about_clients_and_apps_change_nothing_for_who_may_not(
    visitors: dict[str, Visitor], beside: Runtime, owner: Credentials
) -> None:
    clients = operations.list_clients(beside)
    apps = operations.list_apps(beside)
    sessions = {session.session_id for session in operations.list_console_sessions(beside)}
    fields = {"name": "made", "role": "owner", "scope": "/", "keep_hours": "0"} | dict.fromkeys(
        ("collection", "resource_group", "subscription"), "c"
    )
    own_tokens = {visitor.http.cookies["engagement"] for visitor in visitors.values()}
    for visitor in visitors.values():
        for page in PAGES:
            if page.path not in ELSEWHERE:
                continue
            for session_id in sessions if "session_id" in page.path else [""]:
                path = page.path.format(client_id=owner.client_id, session_id=session_id)
                if session_id and any(
                    found.session_id == session_id
                    for token in own_tokens
                    if (found := operations.find_console_session(beside, token))
                ):
                    continue
                answer = visitor.post(PREFIX + path, page.form, fields)
                assert answer.status_code in {303, 403, 404, 422}, path

    assert operations.list_clients(beside) == clients
    assert operations.list_apps(beside) == apps
    left = {session.session_id for session in operations.list_console_sessions(beside)}
    assert left == sessions


def state_of(beside: Runtime, visited: Place) -> tuple[object, ...]:
    """All of an app that a form could change."""
    app_id = visited.app.app_id
    exports = ExportFilter(app_ids=(app_id,))
    return (
        [(key.key_id, key.ends_at, key.revoked_at) for key in operations.list_keys(beside, app_id)],
        [task.task_id for task in operations.find_exports(beside, exports, limit=100)],
        operations.count_refused(beside, RefusedFilter(app_id=app_id)),
        operations.get_device(beside, app_id, visited.values["deviceId"]).device_id,
        operations.get_app(beside, app_id),
    )


def test_who_is_signed_out_sees_nothing(server: RunningServer, visited: Place) -> None:
    own = {"Sec-Fetch-Site": "same-origin"}
    with httpx.Client(base_url=server.address, trust_env=False) as http:
        for page in PAGES:
            path = visited.path(page)
            answers = [http.get(path, headers=own)] * bool(page.show)
            answers += [http.post(path, data={"name": "x"}, headers=own)] * bool(page.submit)
            for answer in answers:
                assert answer.status_code == 303, path
                assert answer.headers["location"].startswith("/console/sign-in")
                assert answer.text == ""


def test_a_form_without_its_token_changes_nothing(
    visitors: dict[str, Visitor], visited: Place, beside: Runtime
) -> None:
    before = state_of(beside, visited)
    visitor = visitors[Role.OWNER]
    for page in PAGES:
        if page.submit is None:
            continue
        path = visited.path(page)
        own, other = {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "cross-site"}
        assert visitor.http.post(path, data={"csrf": "0" * 64}, headers=own).status_code == 403
        assert visitor.http.post(path, data={"csrf": "0" * 64}, headers=other).status_code == 403
        assert visitor.post(path, "another form").status_code == 403
    assert state_of(beside, visited) == before


def look_for_hostile(window: Window, place: Place, texts: list[str], *, devices: int) -> None:
    """Open each page of an app; nothing may run there, or be stopped by the policy alone."""
    own = [place.path(path) for path in READ if path not in {MANIFEST, BUNDLE}]
    more = [place.path(f"/apps/{{app_id}}/devices/{number:032x}") for number in range(devices)]
    finders = [
        place.path("/apps/{app_id}/devices") + f"?by=user&wanted={httpx.QueryParams(w=text)}"
        for text in texts[:devices]
    ]
    for path in (*own, *more, *finders):
        window.go(path)
        ran, strange = window.page.evaluate(
            f"[window.{EXECUTED} || 0, document.querySelectorAll('img, iframe, object, math, "
            'script:not([src]), [onerror], [onload], [onfocus], base, form[action^="//"], '
            "a[href^=javascript]').length]"
        )
        assert (ran, strange) == (0, 0), path
        assert window.complaints == [], path


def test_hostile_words_are_shown_and_never_run(
    open_window: Open, owner: Credentials, visited: Place
) -> None:
    window = open_window(owner)

    look_for_hostile(window, visited, list_hostile(QUICK_COUNT), devices=3)

    window.go(visited.path("/apps/{app_id}/names"))
    texts = window.page.locator("td bdi").all_inner_texts()
    assert len(texts) >= QUICK_COUNT // 2
    assert any("<script>" in text for text in texts)


@pytest.mark.slow
@pytest.mark.timeout(3_600)
def test_two_hundred_hostile_words_never_run(
    open_window: Open,
    owner: Credentials,
    server: RunningServer,
    beside: Runtime,
    everything: Visitor,
) -> None:
    texts = list_hostile(WHOLE_COUNT)
    window = open_window(owner)
    for begin in range(0, WHOLE_COUNT, QUICK_COUNT):
        some = texts[begin : begin + QUICK_COUNT]
        name = f"{begin} {some[2]}".replace("/", "")[:64]
        place = fill(server, beside, everything, some, name=name, place="hostile")
        look_for_hostile(window, place, some, devices=QUICK_COUNT)


def test_no_page_has_barriers_and_each_fits(
    open_window: Open, owner: Credentials, visited: Place
) -> None:
    window = open_window(owner, reduced_motion="reduce")
    for path in READ:
        if path in {"/", MANIFEST, BUNDLE} or path.startswith("/exports"):
            continue  # tried with their own states
        window.page.emulate_media(color_scheme="light")
        window.go(visited.path(path))
        assert window.barriers() == [], path
        window.page.emulate_media(color_scheme="dark")
        assert window.faint_texts() == [], path
        for width in WIDTHS:
            window.page.set_viewport_size({"width": width, "height": 900})
            assert window.overflow() <= 0, f"{path} at {width}"


def test_forty_secrets_are_in_no_page_log_cookie_or_bundle(
    server: RunningServer,
    beside: Runtime,
    owner: Credentials,
    everything: Visitor,
    visited: Place,
) -> None:
    app_id = visited.app.app_id
    hidden = [owner.client_secret, visited.app_key]
    for number in range(8):
        made = operations.create_key(beside, app_id, name=f"key {number}")
        hidden.append(made.app_key)
        client = register(beside, Role.READER, "/subscriptions/visited")
        hidden.append(client.client_secret)
        rotated = operations.rotate_client(beside, client.client_id, keep_hours=1)
        hidden.append(rotated.client_secret)
        hidden.append(operations.create_sign_in_code(beside).code)
        signature = secrets.token_urlsafe(24)
        hidden.append(signature)
        for action in ("try", "create"):
            everything.post(
                visited.path("/apps/{app_id}/exports/new"),
                "new-export",
                {
                    "action": action,
                    "export_type": "Tag",
                    "export_format": "JsonBlob",
                    "container_url": f"http://127.0.0.1:9/a/c?sp=cw&sig={signature}",
                },
            )
    assert len(hidden) >= SECRETS_COUNT
    pages = [everything.get(visited.path(path)) for path in READ]
    pages += [everything.get(f"{visited.path(path)}?as=csv") for path in READ if "new" not in path]
    cookies = json.dumps(dict(everything.http.cookies))
    bundle = everything.get(f"{PREFIX}/system/diagnostics").content

    with zipfile.ZipFile(io.BytesIO(bundle)) as archive:
        packed = b"".join(archive.read(name) for name in archive.namelist())
    places = {
        "pages": b"".join(answer.content for answer in pages),
        "headers": str([answer.headers for answer in pages]).encode(),
        "cookies": cookies.encode(),
        "bundle": packed,
        "log": Path(server.log).read_bytes(),
    }
    assert all(answer.status_code in {200, 404} for answer in pages)
    found = [
        (name, number)
        for name, content in places.items()
        for number, secret in enumerate(hidden)
        if has_secret(content, secret)
    ]
    assert found == []
