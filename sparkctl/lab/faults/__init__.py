"""Faults to inject into the lab: each happens on real Sparks, and each can be undone exactly.

A fault (fault.py) changes one node through a Target (target.py), which records the undo of each
change before it makes it. So healing (engine.py, undo.py) needs no code of the fault, and a fault
that fails is undone too. table.py lists them all.
"""
