"""What a support bundle has besides facts, findings, plan and status: logs, journals, versions.

It is collected here as it is; output/bundle/contents.py masks and packs it.
"""
