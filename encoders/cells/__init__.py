"""How geocells are made: units of a hierarchy, merged and split, as a rule for every point on Earth."""
