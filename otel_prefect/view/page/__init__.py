"""An execution as one HTML file that needs nothing else: for an incident's ticket.

``html`` writes the page; ``data`` is what its scripts are given, and they draw: ``model.js`` reads it and
chooses the rows, ``timeline.js`` is the stretch of time that is shown, ``rows.js`` draws the rows that are in
sight, ``details.js`` the span that is chosen, and ``page.js`` connects them with pointer and keys.
"""
