"""Faults to inject into the lab: each a thing that happens on real Sparks, and its undoing.

A fault (fault.py) changes one node through a Target (target.py), which writes down how to undo
each change before it makes it; so healing (engine.py) needs no code of a fault's own, and a fault
that fails half-way is undone. table.py lists them all.
"""
