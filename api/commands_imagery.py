"""The verbs that get pictures of a region: `imagery plan` says where, `imagery fetch` downloads them."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..encoders.errors import InvalidOption
from .cells import _progress
from .commands_maps import length_m
from .exits import PARTLY_FAILED
from .options import AsJson, writable_target

if TYPE_CHECKING:  # they load geopandas and httpx, which `--help` must not
    from ..indexer.imagery_plan import Plan, Sampling
    from ..indexer.imagery_providers.provider import Provider

imagery_app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Get pictures of a region: plan where, then fetch them."
)
N_PER_AREA = 10


@imagery_app.command()
def plan(
    areas: Annotated[
        Path | None, typer.Option(help="Polygons to spread points over: .geojson, .gpkg, .parquet, .shp …")
    ] = None,
    towns: Annotated[
        Path | None, typer.Option(help="Towns to draw points around, with lon, lat, region: .csv, .parquet.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Write this .csv or .parquet.")] = Path("plan.csv"),
    within: Annotated[
        Path | None, typer.Option(help="With --towns: the regions' polygons, which points do not leave.")
    ] = None,
    region_column: Annotated[str | None, typer.Option(help="Column of the regions' names.")] = None,
    area_column: Annotated[
        str | None, typer.Option(help="Column of the sub-areas' or towns' names; else each region is one.")
    ] = None,
    n_per_area: Annotated[
        int | None, typer.Option(min=1, help=f"Points of each sub-area or town; {N_PER_AREA}.")
    ] = None,
    per_km2: Annotated[float | None, typer.Option(help="With --areas: points per km² instead.")] = None,
    spacing: Annotated[
        str | None, typer.Option(help="With --areas: least distance of two points: 200m, 1km.")
    ] = None,
    radius: Annotated[
        str | None,
        typer.Option(help="With --towns: how far from a town; half its region's least town distance."),
    ] = None,
    headings: Annotated[int, typer.Option(min=1, max=36, help="Views of each point, all around.")] = 4,
    seed: Annotated[int, typer.Option(min=0, help="Of everything drawn.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Plan where pictures are wanted: equally many points per sub-area, with views all around.

    Points are spread over polygons, as far apart as chance allows, or drawn around towns. The same
    seed gives the same plan.

    Examples:
      placeprint imagery plan --areas wards.geojson --area-column ward --n-per-area 20 -o plan.csv
      placeprint imagery plan --areas tokyo.gpkg --region-column ward --area-column town --spacing 200m
      placeprint imagery plan --towns towns.csv --within wards.geojson --headings 8 -o plan.parquet
    """
    writable_target(out, "--out", (".csv", ".parquet"))
    _check_source(areas, towns, {"--within": within, "--radius": radius}, {"--spacing": spacing})
    from ..indexer.imagery_plan import Sampling
    from ..indexer.imagery_views import write_views
    from . import imagery_report

    if n_per_area is None and per_km2 is None:
        n_per_area = N_PER_AREA
    sampling = Sampling(
        n_per_area=n_per_area, per_km2=per_km2, spacing_m=0.0 if spacing is None else length_m(spacing),
        n_headings=headings, seed=seed,
    )  # fmt: skip
    if areas is not None:
        made = _plan_of_areas(areas, region_column, area_column, sampling, as_json=as_json)
    else:
        radius_m = None if radius is None else length_m(radius)
        made = _plan_of_towns(towns or Path(), within, region_column, area_column, sampling, radius_m)
    if not made.views:
        why = "; ".join(f"{one.sub_area}: {one.reason}" for one in made.short[:3])
        raise InvalidOption(f"no point can be planned here ({why})")
    write_views(made.views, out)
    imagery_report.show_plan(made, out, headings, as_json=as_json)


@imagery_app.command()
def fetch(
    plan: Annotated[Path, typer.Argument(help="A plan from `imagery plan`, or any table with lon, lat.")],
    provider: Annotated[str, typer.Option(help="mapillary, kartaview, panoramax or street-view.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for pictures and their manifest.csv.")],
    radius: Annotated[str, typer.Option(help="How far a picture may be from its point.")] = "50m",
    max_turn: Annotated[
        float, typer.Option(min=1.0, max=180.0, help="Degrees that it may look to the side.")
    ] = 45.0,
    panoramas: Annotated[bool, typer.Option("--panoramas", help="Take panoramas too, as they are.")] = False,
    max_pictures: Annotated[int | None, typer.Option(min=1, help="Stop at so many in the folder.")] = None,
    max_bytes: Annotated[
        str | None, typer.Option(help="Stop when so much was downloaded: 500MB, 2GB.")
    ] = None,
    max_cost: Annotated[
        float | None, typer.Option(min=0.0, help="Stop before it costs more than so many US dollars.")
    ] = None,
    base_url: Annotated[
        str | None, typer.Option(help="The Panoramax server; for others a server of yours before the API.")
    ] = None,
    picture_host: Annotated[
        list[str] | None, typer.Option(help="With panoramax: another host of its pictures; repeatable.")
    ] = None,
    i_have_permission: Annotated[
        bool, typer.Option("--i-have-permission", help="The provider permits me in writing to store these.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Agree to the cost without being asked.")] = False,
    as_json: AsJson = False,
) -> None:
    """Fetch a picture for each view of a plan. The same command goes on after an interruption.

    Keys come from the environment: PLACEPRINT_MAPILLARY_TOKEN, PLACEPRINT_GOOGLE_MAPS_KEY (and, to sign,
    PLACEPRINT_GOOGLE_MAPS_SIGNING_SECRET). Placeholders and blank pictures are dropped. Licence and author
    of each picture stand in OUT/manifest.csv, which `placeprint index` reads.

    Examples:
      placeprint imagery fetch plan.csv --provider mapillary --out tokyo --max-pictures 500
      placeprint imagery fetch plan.csv --provider panoramax --base-url https://api.panoramax.xyz -o paris
    """
    radius_m = length_m(radius)
    most_bytes = None if max_bytes is None else _bytes(max_bytes)
    from ..indexer.imagery import Budget, fetch
    from ..indexer.imagery_choice import Reach
    from ..indexer.imagery_providers.catalog import open_provider
    from ..indexer.imagery_views import read_views
    from . import console, imagery_report

    as_json = as_json or not console.out.is_terminal
    views = read_views(plan)
    opened = open_provider(
        provider, base_url=base_url, picture_hosts=tuple(picture_host or ()), is_permitted=i_have_permission
    )
    try:
        _agree(opened, len(views), max_cost, is_agreed=yes, as_json=as_json)
        with _progress(as_json=as_json) as progress:
            report = fetch(
                views, opened, out,
                reach=Reach(radius_m, max_turn, panoramas),
                budget=Budget(max_pictures=max_pictures, max_bytes=most_bytes, max_cost=max_cost),
                progress=lambda done, total: progress("fetching", done, total),
            )  # fmt: skip
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"interrupted; what was fetched is kept in {out}. To go on, type the same command again"
        ) from None
    finally:
        opened.close()
    imagery_report.show_fetched(report, out, as_json=as_json)
    if report.failures:
        raise typer.Exit(PARTLY_FAILED)


def _check_source(
    areas: Path | None, towns: Path | None, of_towns: dict[str, object], of_areas: dict[str, object]
) -> None:
    """See that one source of points is named, and nothing that goes with the other."""
    if (areas is None) == (towns is None):
        raise typer.BadParameter(
            "say where: polygons with --areas, or a list of towns with --towns, not both"
        )
    foreign = of_areas if areas is None else of_towns
    for option, value in foreign.items():
        if value is not None:
            raise typer.BadParameter(f"{option} goes with {'--areas' if areas is None else '--towns'}")


def _plan_of_areas(
    areas: Path, region_column: str | None, area_column: str | None, sampling: "Sampling", *, as_json: bool
) -> "Plan":
    from ..indexer.imagery_areas import read_sub_areas
    from ..indexer.imagery_plan import plan_areas

    found = read_sub_areas(areas, region_column=region_column, area_column=area_column)
    with _progress(as_json=as_json) as progress:
        return plan_areas(found, sampling, lambda done, total: progress("planning", done, total))


def _plan_of_towns(
    towns: Path,
    within: Path | None,
    region_column: str | None,
    name_column: str | None,
    sampling: "Sampling",
    radius_m: float | None,
) -> "Plan":
    from ..indexer.imagery_areas import read_sub_areas
    from ..indexer.imagery_plan import plan_towns
    from ..indexer.imagery_towns import read_towns

    found = read_towns(towns, region_column=region_column or "region", name_column=name_column or "name")
    polygons = None if within is None else read_sub_areas(within, region_column=region_column)
    return plan_towns(found, sampling, within=polygons, radius_m=radius_m)


def _agree(
    provider: "Provider", n_views: int, max_cost: float | None, *, is_agreed: bool, as_json: bool
) -> None:
    """Say what a provider's terms are and what it may cost, and have the cost agreed to."""
    from . import console

    if as_json:
        console.say("terms", is_answer=False, text=provider.terms.text, url=provider.terms.url)
    else:
        console.err.print(f"{provider.terms.text} {provider.terms.url}", markup=False, soft_wrap=True)
    dollars = provider.cost(n_views)
    if not dollars:
        return
    most = dollars if max_cost is None else min(dollars, max_cost)
    estimate = f"at most ${most:,.2f} at the list price, for up to {n_views:,} views"
    if is_agreed:
        console.warn(f"this costs {estimate}", as_json=as_json)
    elif as_json:
        raise typer.BadParameter(f"this costs {estimate}; add --yes to agree")
    else:
        typer.confirm(f"This costs {estimate}. Fetch?", abort=True, err=True)


def _bytes(words: str) -> int:
    """An amount of data as people write it: 500MB, 2 GB, 1000000."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(k|m|g)?b?\s*", words, re.IGNORECASE)
    n = float(found[1]) * {"": 1, "k": 1e3, "m": 1e6, "g": 1e9}[(found[2] or "").lower()] if found else 0.0
    if n < 1.0:
        raise InvalidOption(f"--max-bytes {words!r}: write an amount such as 500MB or 2GB")
    return int(n)
