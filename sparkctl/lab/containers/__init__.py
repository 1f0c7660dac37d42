"""Container engines on the lab's nodes: a real dockerd, a real podman, and an image for both."""
