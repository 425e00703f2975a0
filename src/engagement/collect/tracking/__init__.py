"""This package turns tracking messages of Segment and RudderStack SDKs into records."""
