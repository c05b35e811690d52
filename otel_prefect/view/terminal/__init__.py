"""A run as text, for a console of rich: ``show`` puts together what the other modules draw."""
