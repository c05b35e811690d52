"""One trace and one log stream for one Prefect flow run on AWS.

Importing this package imports neither Prefect nor boto3, nor the OpenTelemetry
SDK: it is loaded in every process of a pipeline.
"""

__version__ = "0.1.0"
