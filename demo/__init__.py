"""The demo: the example pipeline on stand-ins for AWS, and the stand-ins that tests share."""
