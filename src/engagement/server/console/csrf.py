"""Proves that a form was ours: a token for each form of a session."""

import hashlib
import hmac

FIELD = "csrf"


def form_token(csrf_secret: str, form: str) -> str:
    """Return the token of a form in a session; one form's is none for another."""
    return hmac.new(csrf_secret.encode(), form.encode(), hashlib.sha256).hexdigest()


def is_form_token(csrf_secret: str, form: str, given: str) -> bool:
    """Whether this is the form's token."""
    return hmac.compare_digest(form_token(csrf_secret, form), given)
