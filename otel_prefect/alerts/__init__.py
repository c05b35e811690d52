"""Alerts in four levels, declared once and written as rules of Prometheus and routes of Alertmanager.

``declared`` says when there is an alert and what it says, ``anomalies`` what is unusual, ``prometheus``
writes rule files of both, ``alertmanager`` who is told.
"""
