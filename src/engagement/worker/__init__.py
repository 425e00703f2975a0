"""Lets a process of its own do the owner's work beside the one that answers requests.

Exports and flushes hold the interpreter lock in many short pieces, and in the same process every
answer would wait for some of them. The two talk over a pair of sockets, one JSON object a message.
Nothing that is said has to arrive: what must be done is in the state database before the worker is
told of it, and a worker that is started anew looks there.
"""
