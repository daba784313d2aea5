"""Run tuned kernels: verify a bundle, load it, call what is in it. Needs ``numpy`` and ``apache-tvm-ffi``, no compiler.

Headstart itself stands on this package, and ``headstart runtime`` copies it out for machines that have no Headstart.
"""
