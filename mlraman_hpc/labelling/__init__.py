"""Labels to be computed: which frames, input for electronic-structure codes, their results, and when to stop."""
