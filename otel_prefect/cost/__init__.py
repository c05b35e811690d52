"""What the pipelines cost, read from AWS once a day by a flow that the project ships.

``flow`` is the Prefect flow; ``cost_explorer``, ``storage``, ``athena`` and ``utilization`` read one thing
each, by ``calls``, which tells what AWS refused from what it said; ``readings`` is what they come to.
"""
