"""What runs on a node. These files are sent there as source and import only the standard library."""
