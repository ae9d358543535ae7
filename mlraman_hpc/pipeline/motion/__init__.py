"""The trajectory with atoms shared over ranks: exchange of frames, sums over the atoms of a species, jumps."""
