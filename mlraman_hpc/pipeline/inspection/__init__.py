"""What `check` looks at beside the errors that a run itself would give."""
