"""The command line: ``placeprint VERB``. Each verb is a few calls of the layers below.

The verbs stand in modules of their own; here they get their names. How one ends: `exits`.
"""

try:
    import os
    from pathlib import Path
    from typing import Annotated

    import typer

    from .. import __version__
    from .bench import bench_app
    from .cells import cells_app
    from .commands_backup import backup, restore
    from .commands_evaluate import evaluate
    from .commands_evaluate_places import evaluate_places
    from .commands_imagery import imagery_app
    from .commands_index import delete, galleries, index, optimize, rebuild
    from .commands_locate import locate
    from .commands_maps import map, mosaic_app
    from .commands_places import places_app
    from .commands_regions import predict_region, regions_app
    from .commands_search import search
    from .commands_serve import keys_app, serve
    from .commands_store import move
    from .commands_upkeep import doctor, merge
    from .commands_vectors import vectors_app
    from .embed import embed
    from .exits import explained
    from .options import EncoderName, WeightsFile
    from .train import train_app
    from .two_word_verbs import TwoWordVerbs
except KeyboardInterrupt:  # nothing has begun, so there is nothing to say
    raise SystemExit(130) from None

app = typer.Typer(
    cls=TwoWordVerbs,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="An embedding for every photo and every place on Earth: index, search and geolocate photos.",
)


@app.callback(invoke_without_command=True)
def _main(version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False) -> None:
    if version:
        typer.echo(f"placeprint {__version__}")
        raise typer.Exit


VERBS = (
    index, search, locate, predict_region, serve, evaluate, galleries, delete, optimize, rebuild, move,
    backup, restore, embed, map, doctor, merge,
)  # fmt: skip
for verb in VERBS:
    app.command()(verb)
app.command("evaluate places")(evaluate_places)

app.add_typer(keys_app, name="keys")
app.add_typer(train_app, name="train")
app.add_typer(bench_app, name="bench")
app.add_typer(cells_app, name="cells")
app.add_typer(mosaic_app, name="mosaic")
app.add_typer(places_app, name="places")
app.add_typer(imagery_app, name="imagery")
app.add_typer(vectors_app, name="vectors")
app.add_typer(regions_app, name="regions")


@app.command()
def models() -> None:
    """Show the cards of the encoders."""
    from ..encoders.catalog import CARDS

    for card in CARDS.values():
        typer.echo(f"{card.name}: {card.backend} {card.model} {card.pretrained}, {card.dimension}-d")
        for title in ("licence", "training_data", "source", "sha256", "known_failures", "reason"):
            typer.echo(f"  {title.replace('_', ' ')}: {getattr(card, title)}")


@app.command()
def demo(
    folder: Annotated[Path, typer.Option(help="Where to put photos, gallery and report.")] = Path("demo"),
    photos: Annotated[Path | None, typer.Option(help="Your own photos instead of drawn scenes.")] = None,
    n_scenes: Annotated[int, typer.Option(min=50, help="How many scenes to draw.")] = 1000,
    encoder: EncoderName = None,
    weights: WeightsFile = None,
) -> None:
    """Run everything once, on drawn scenes or on your photos, and leave a report to look at."""
    from .demo import run_demo

    run_demo(folder, photos=photos, n_scenes=n_scenes, encoder=encoder, weights=weights)


def main() -> None:
    """Run the command line."""
    # By default threads of OpenMP burn their core while they wait for one another. With decoders, or
    # anybody else, on the same cores a photo then takes thirty times as long. Read when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with explained():  # an interruption may come before the verb begins
        app()


if __name__ == "__main__":
    main()
