"""The way out: from the lake to the files of an export."""
