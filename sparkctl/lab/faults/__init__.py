"""Faults to inject into the lab: each a thing that happens on real Sparks, and how it is healed."""
