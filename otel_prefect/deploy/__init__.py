"""What must stand in AWS, Prefect and OpenSearch before a run: definitions changed, set-up done."""
