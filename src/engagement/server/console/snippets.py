"""What to paste into an app so that it reports to this server, for each SDK."""

from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True, kw_only=True)
class Snippet:
    """Lines for one kind of sender."""

    name: str
    """Of the SDK, with its language."""
    code: str
    """The lines; `APP_KEY` stands for a key of the app."""


_ADDRESS = "https://collect.example.org"
"""Stands in the lines for the address of a server, as it does in the pages of the manual."""
_LINES = (
    ("Try it: curl", """\
curl -u "APP_KEY:" https://collect.example.org/v1/track -d '{"userId": "me", "event": "hello"}'"""),
    ("Segment: Kotlin (Android)", """\
Telemetry.enable = false
Analytics("APP_KEY", applicationContext) {
    apiHost = "collect.example.org/v1"
    cdnHost = "collect.example.org/v1"
    defaultSettings = Settings(integrations = buildJsonObject {
        putJsonObject("Segment.io") {
            put("apiKey", "APP_KEY")
            put("apiHost", "collect.example.org/v1")
        }
    })
}"""),
    ("Segment: Swift (iOS)", """\
Telemetry.shared.enable = false
let configuration = Configuration(writeKey: "APP_KEY")
    .apiHost("collect.example.org/v1")
    .cdnHost("collect.example.org/v1")"""),
    ("Segment: React Native", """\
createClient({
  writeKey: 'APP_KEY',
  proxy: 'https://collect.example.org/v1',
  cdnProxy: 'https://collect.example.org/v1',
  useSegmentEndpoints: true,
});"""),
    ("Segment: web pages", """\
AnalyticsBrowser.load(
  { writeKey: 'APP_KEY', cdnURL: 'https://collect.example.org' },
  { integrations: { 'Segment.io': { apiHost: 'collect.example.org/v1' } } },
);"""),
    ("Segment: Node", """\
const analytics = new Analytics({ writeKey: 'APP_KEY', host: 'https://collect.example.org' });"""),
    ("Segment: Python", """\
client = segment.analytics.Client("APP_KEY", host="https://collect.example.org")"""),
    ("RudderStack: Android", """\
RudderClient.getInstance(this, "APP_KEY", RudderConfig.Builder()
    .withDataPlaneUrl("https://collect.example.org")
    .withControlPlaneUrl("https://collect.example.org")
    .build())"""),
    ("RudderStack: iOS", """\
RSConfigBuilder *builder = [[RSConfigBuilder alloc] init];
[builder withDataPlaneUrl:@"https://collect.example.org"];
[builder withControlPlaneUrl:@"https://collect.example.org"];
[RSClient getInstance:@"APP_KEY" config:[builder build]];"""),
    ("RudderStack: Node", """\
const client = new RudderAnalytics('APP_KEY', { dataPlaneUrl: 'https://collect.example.org' });"""),
    ("RudderStack: Python", """\
import rudderstack.analytics as rudder_analytics

rudder_analytics.write_key = "APP_KEY"
rudder_analytics.dataPlaneUrl = "https://collect.example.org\""""),
    ("Device agent: Python", """\
from pathlib import Path

from engagement import DeviceAgent

with DeviceAgent("https://collect.example.org", "APP_KEY", folder=Path("agent")) as agent:
    agent.send_event("hello")"""),
)  # fmt: skip


def write_snippets(address: str) -> list[Snippet]:
    """Return the lines for each SDK, for a server with this address."""
    host = urlsplit(address).netloc
    return [
        Snippet(
            name=name,
            code=code.replace(_ADDRESS, address).replace(urlsplit(_ADDRESS).netloc, host),
        )
        for name, code in _LINES
    ]
