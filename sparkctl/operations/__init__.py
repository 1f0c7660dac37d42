"""What is done with a cluster: the only room that changes one. An inventory's way through `up`:

1. cli/up reads the inventory; a service is seen as an inventory of its own (View).
2. connect: one login a node, all at once (connect.py, remote/); of several services one with a node
   that cannot be reached or read, now or later, is left alone (scope.py).
3. hold: the lease on every node of the others, in the order of names, all or none; with it one
   probe a node gives typed facts (lease.py, facts/). Another `up` that holds it is watched first
   (attach.py).
4. outlook: facts to the units that should run (plan/desired.py, an engine's row) and to those that
   do (plan/observed.py); another's cluster of this name is refused (identity.py).
5. difference: what is kept, restarted, stopped, and what an unread unit blocks
   (node/difference.py). Where nothing differs, one look inside: a completion and Ray's table
   (look.py, serving.py). The head has done that by its record while the facts were read; it counts
   where it answers the same question and shows no fault (look.py, recall).
6. consent for a model that is served, then the checks before a start (doctor/preflight.py), and
   what the engine's own parser says of its command line (lines.py).
7. apply: stops, files, then starts in waves, each journalled on its node before it is made.
8. ready: what was started is waited for, by its log and at last a completion (startup.py), of all
   services and of all units of a group at once (together.py, group.py).
9. settle: the units are recorded as ready, the journal of the run is closed, the lease released.
10. A failure or Ctrl-C on the way rolls back this run's units and files alone (run.py).
"""
