"""What runs on a node: sent there as source, standard library only, Python 3.9 or later.

Each module's public functions take one JSON object and return one (wire.py); remote/node_rpc.py
bundles them on the controller, and the node's `python3` runs them. Nothing is installed.

Files that sparkctl writes on a node, below ~/.sparkctl/CLUSTER/ (files.py), with their schema:

    journal.json        1     what undoes the changes made here (entries.py)
    lease.json          1     who may change the cluster here (lease.py)
    applied.json        2     whose cluster this is, what was last started, and how (state.py)
    environment.json    1     the environment of what it starts; holds secrets (files.py)
    shared-memory.json  1     /dev/shm files to remove after a SIGKILL (sharedmemory.py)
    container.id        none  the Id of the cluster's container here, by its engine (processes.py)
    ray-token           none  plain text for Ray: RAY_AUTH_TOKEN_PATH
    lease.lock          none  empty: only its flock counts (guard.py)
    applied.lock        none  the same, of applied.json; journal.lock of journal.json
    logs/RUN/KIND.log   none  output of programs, each start after a line logs.HEADER (logs.py)
    logs/RUN/KIND.exit  none  JSON: the program's pid, and how it ended (shim.py)
    logs/RUN/KIND.times none  when the log had which size (shim.py, logtimes.py)
    lock/owner.json     none  read only: the lock of a sparkctl before there were leases

In /var/lib/sparkctl/CLUSTER/, which only root may enter, is the journal of what root changed.
Next to a virtual environment that is being installed is its own folder (venvs.py).
In /tmp/sparkctl-CLUSTER/ (plan/paths.py) Ray and vLLM write; sparkctl makes the directories.
Reading takes a known schema, and none, which older releases wrote. A newer schema is never read as
if it were known: files.Newer names the file and the schema.
"""
