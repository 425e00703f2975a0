"""This package holds from the lake to the files of an export."""
