"""The compiled loops of the model; README.md describes them."""
