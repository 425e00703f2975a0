"""Spells resource paths as the published contract does, whatever their case."""

_LITERALS = {
    word.lower(): word
    for word in (
        "subscriptions", "resourceGroups", "providers", "Microsoft.MobileEngagement",
        "checkAppCollectionNameAvailability", "supportedPlatforms", "apps", "devices", "users",
        "exportTasks", "importTasks", "tag", "activities", "crashes", "errors", "events", "jobs",
        "sessions", "tags", "tokens", "info", "locations", "feedbackByDate", "feedbackByCampaign",
        "cancel", "retry", "manifest", "keys", "rotate", "auditLog", "retention",
    )
}  # fmt: skip
_SUBSCRIPTION_COLLECTIONS = 4
_NAME_PLACES = frozenset({1, 3, 7, 9})
_DEVICE_OR_USER = 11


def canonical_path(path: str, method: str) -> str:
    """Return the path with its fixed words spelled as published; names and ids stay as they are."""
    segments = path.split("/")[1:]
    if segments[0].lower() != "subscriptions":
        return path
    below_subscription = len(segments) > 2 and segments[2].lower() == "providers"  # noqa: PLR2004
    spelled = []
    for place, segment in enumerate(segments):
        lower = segment.lower()
        is_user = place == _DEVICE_OR_USER and segments[10].lower() == "users" and method == "GET"
        is_name = place == 1 or (place in _NAME_PLACES and not below_subscription) or is_user
        if is_name:
            spelled.append(segment)
        elif lower == "appcollections":
            at_subscription = below_subscription and place == _SUBSCRIPTION_COLLECTIONS
            spelled.append("appCollections" if at_subscription else "appcollections")
        else:
            spelled.append(_LITERALS.get(lower, segment))
    return "/" + "/".join(spelled)
