"""What is particular to Prefect: its spans made whole, its contexts read, its own talk kept apart."""
