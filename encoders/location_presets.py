"""Published location encoders as arguments of `LocationEncoder`; untrained.

Where ours differ from the published code, the difference is one of the faults we mend: embeddings
end linear, the poles differ, sines lose nothing to dropout.
"""

from typing import Any

PRESETS: dict[str, dict[str, Any]] = {
    # Mai et al. 2023 (arXiv 2305.01118), constants of the released scripts and checkpoints. The
    # paper's appendix has r_min 0.01.
    "csp-grid": {
        "positional": "grid",
        "positional_options": {"scales": 32, "r_min": 0.1, "r_max": 360.0},
        "network": "feed-forward",
        "network_options": {"hidden": 512, "layers": 1, "dropout": 0.5, "act": "leaky-relu"},
        "dimension": 256,
    },
    # Klemmer et al. 2023 (arXiv 2311.17179).
    "satclip-l10": {
        "positional": "sh",
        "positional_options": {"degrees": 10},
        "network": "siren",
        "network_options": {"hidden": 256, "layers": 2},
        "dimension": 256,
    },
    "satclip-l40": {
        "positional": "sh",
        "positional_options": {"degrees": 40},
        "network": "siren",
        "network_options": {"hidden": 256, "layers": 2},
        "dimension": 256,
    },
    # Vivanco Cepeda et al. 2023 (arXiv 2309.16020).
    "geoclip": {
        "positional": "rff-equal-earth",
        "positional_options": {"sigmas": [1.0, 16.0, 256.0], "frequencies": 256},
        "network": "branches",
        "network_options": {"branches": 3, "hidden": [1024, 1024, 1024]},
        "dimension": 512,
    },
    # Cole et al. 2023 (arXiv 2306.02564), with a latitude that does not wrap.
    "sinr": {
        "positional": "wrap",
        "network": "residual",
        "network_options": {"blocks": 4, "dropout": 0.5},
        "dimension": 256,
    },
    # Mai et al. 2023 (arXiv 2306.17624).
    "sphere2vec-c": {
        "positional": "sphere-c",
        "positional_options": {"scales": 32, "r_min": 0.001, "r_max": 1.0},
        "network": "feed-forward",
        "network_options": {"hidden": 512, "layers": 1, "dropout": 0.5, "act": "relu"},
        "dimension": 256,
    },
    # Dollinger et al. 2025 (arXiv 2504.05089): 16 layers of 512. There the input is lon and lat
    # scaled to [-1, 1], and the month; here the point on the sphere, which has no seam.
    "resiren": {
        "positional": "xyz",
        "network": "siren",
        "network_options": {"hidden": 512, "layers": 16, "residual": True, "h_siren": True},
        "dimension": 256,
    },
}
