"""The project's dashboards, as code: ``python -m dashboards`` writes their JSON beside this file.

``panels`` says what a panel is, ``promql`` and ``cloudwatch`` how each backend is asked, ``boards`` what
is on each dashboard, ``grafana`` and ``native`` turn that into what Grafana and CloudWatch read.
"""
