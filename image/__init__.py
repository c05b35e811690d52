"""What the build of the container image runs; nothing of it goes into the image."""
