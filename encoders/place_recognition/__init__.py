"""Place recognition: local features of a backbone, aggregated into one embedding of the place a photo shows.

What a user calls is `encoders.train_place_recognition` and `place_recognition.encoder`; the NetVLAD
layer itself is `encoders.netvlad`. Local features are (B, D, H, W): D channels on a grid of H × W.
"""
