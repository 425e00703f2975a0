"""Tests that apps have the published path."""

from engagement.model.apps import App


def test_an_apps_path_is_the_published_one() -> None:
    app = App(app_id="1", name="n", collection="c", resource_group="g", subscription="s")

    assert app.resource_path == (
        "/subscriptions/s/resourceGroups/g/providers/Microsoft.MobileEngagement"
        "/appcollections/c/apps/n"
    )
