"""Captions made of coordinates, and what trains and asks image–text models with them."""
