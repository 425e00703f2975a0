"""The worker: a process of its own that flushes and exports beside the one that answers requests.

Exports and flushes hold the interpreter's lock in many short pieces, and in the same process every
answer would wait for some of them. The two talk over a pair of sockets, one JSON object a message.
No message has to arrive: what must be done is in the state database before the worker hears of it,
and a worker that is started anew looks there.
"""
