"""Programs with thread bindings: their CUDA C and how it is launched, and the same programs run on a CPU."""
