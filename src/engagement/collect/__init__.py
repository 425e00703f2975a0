"""The way in: from devices to the inbox, and from the inbox to the lake."""
