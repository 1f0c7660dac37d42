"""`node install`: the engines' packages in a virtual environment on each node.

pins.py has the versions, plan.py what has to be done, run.py does it, failures.py says why not.
"""
