"""Models of the polarizability that other programs made: ASE calculators and what can be called like one."""
