"""Says how compressed data is framed, for those who write it and those who read it."""

GZIP_WINDOW_BITS = 15 + 16
"""What zlib calls the largest window and a gzip frame around it.

A header that is written so has no file name and no time, so that equal input gives equal bytes.
"""
