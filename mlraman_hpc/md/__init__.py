"""Molecular dynamics through ASE's calculators and integrators, with what a spectrum needs around them."""
