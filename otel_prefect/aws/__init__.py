"""Calls that a flow makes through AWS's SDKs: they hand the run on, and the X-Ray SDK joins in."""
