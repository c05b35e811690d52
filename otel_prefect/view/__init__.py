"""One execution as a person looks at it: read from where it is kept, understood, shown.

``execution`` is what all others speak of; ``segments`` makes it of X-Ray's documents; ``critical_path`` finds
what its time went into.
"""
