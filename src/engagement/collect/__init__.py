"""This package holds from devices to the inbox, and from the inbox to the lake."""
