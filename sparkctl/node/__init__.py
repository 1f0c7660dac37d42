"""What runs on a node: sent there as source, standard library only, Python 3.9 or later.

Each module's public functions take one JSON object and give one; remote/node_rpc.py bundles them
on the controller, the node's `python3` runs them, nothing is installed.
"""
