"""dbt-duckdb plugin: curated tables come from the sales bucket, marts go back into it."""

from pathlib import Path

import boto3
from dbt.adapters.duckdb.plugins import BasePlugin


class Plugin(BasePlugin):
    def initialize(self, plugin_config):
        self.bucket = plugin_config["bucket"]
        self.day = plugin_config["day"]
        self.tables = plugin_config["tables"]

    def configure_connection(self, conn):  # noqa: ARG002 - dbt-duckdb's signature
        Path("curated").mkdir(exist_ok=True)
        for table in self.tables:
            boto3.client("s3").download_file(
                self.bucket, f"curated/{table}/{self.day}.csv", f"curated/{table}.csv"
            )

    def store(self, target_config):
        name = target_config.relation.identifier
        boto3.client("s3").upload_file(
            target_config.location.path, self.bucket, f"marts/{name}/{self.day}.csv"
        )
