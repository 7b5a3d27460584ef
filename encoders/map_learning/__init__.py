"""Learning embeddings of places from map crops: views, networks, losses, monitor, labels, distillation.

What a user calls is `encoders.train_maps` and `map_learning.encoder`; self-distillation itself is
`encoders.dino`. Crops are class ids (B, px, px) uint8 of the legend of `encoders.mosaics`, never
colors: one-hot planes are made on the device that trains.
"""
