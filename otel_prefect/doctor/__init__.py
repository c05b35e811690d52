"""``otel-prefect doctor``: looks at all that has to be right for a run to be seen, and says what is not.

A check is a function in the module of its subject; ``checks`` has the list of all, ``runner`` runs them in
bounded time, ``report`` shows what they found.
"""
