"""Prices of houses with and without their place: `LocationFeatures` in a model of scikit-learn.

    python tests/examples/location_features_prices.py california_housing.csv

The table is that of the 1990 census (20,640 blocks, columns longitude, latitude, median_income, …).
It prints the R² of a ridge regression, on random folds and on folds of whole 1° blocks.
"""

import argparse

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from placeprint.encoders.block_kfold import BlockKFold
from placeprint.encoders.location_features import DEFAULT_ENCODER, LocationFeatures
from placeprint.encoders.neighbor_features import NeighborFeatures

parser = argparse.ArgumentParser()
parser.add_argument("table", help="california_housing.csv")
parser.add_argument("--encoder", default=DEFAULT_ENCODER)
chosen = parser.parse_args()

houses = pd.read_csv(chosen.table)
houses["rooms"] = houses.total_rooms / houses.households
price = houses.median_house_value / 1e5

attributes = ("passthrough", ["median_income", "housing_median_age", "rooms"])
place = ["longitude", "latitude"]
models = {
    "attributes": [attributes],
    "+ lon, lat": [attributes, ("passthrough", place)],
    "+ embeddings": [attributes, (LocationFeatures(chosen.encoder), place)],
    "+ neighbors": [attributes, (NeighborFeatures(is_log=True), place)],
}
folds = {"random": KFold(5, shuffle=True, random_state=0), "1° blocks": BlockKFold(1.0)}

print(f"{'':<14}" + "".join(f"{name:>12}" for name in folds))
for name, parts in models.items():
    model = make_pipeline(make_column_transformer(*parts), StandardScaler(), RidgeCV(np.logspace(-2, 4, 7)))
    scores = [cross_val_score(model, houses, price, cv=fold).mean() for fold in folds.values()]
    print(f"{name:<14}" + "".join(f"{score:>12.3f}" for score in scores))
