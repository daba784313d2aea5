"""A Ray cluster as an executor: builders on any node, measurers on nodes that have a chip of the kind.

What runs on other nodes is ``measurer`` and ``builder``, of the Headstart that is installed there; what is sent is
JSON text and built kernels. ``docs/cluster.md`` says what a cluster is trusted with.
"""
