"""The referee: builds what vendors claim in a sandbox, checks what it computes, times it, and says what it found."""
