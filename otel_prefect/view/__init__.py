"""One execution as a person looks at it: read from where it is kept, understood, shown.

``execution`` is what all others speak of. ``segments`` and ``xray``, ``transaction_search``, ``opensearch``
and ``otlp_json`` read one, ``log_lines`` its log. ``failures``, ``critical_path``, ``gaps``, ``attempts`` and
``compare`` understand it. ``terminal`` and ``page`` show it.
"""
