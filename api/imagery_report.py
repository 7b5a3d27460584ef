"""What `placeprint imagery` says at the end: what an area got, what was fetched, what to run next."""

from pathlib import Path

from ..indexer.imagery import FetchReport
from ..indexer.imagery_ledger import MANIFEST
from ..indexer.imagery_plan import Plan
from . import console

N_SHOWN = 20


def show_plan(plan: Plan, out: Path, n_headings: int, *, as_json: bool) -> None:
    """The last word of `imagery plan`: how many points each area got, and which got fewer, why."""
    n_none = sum(not one.n_points for one in plan.counts)
    if as_json:
        for one in plan.short:
            console.say(
                "short", region=one.region, sub_area=one.sub_area, points=one.n_points,
                wanted=one.n_wanted, reason=one.reason,
            )  # fmt: skip
        console.say(
            "plan", file=str(out), areas=len(plan.counts), points=plan.n_points, views=len(plan.views),
            without_points=n_none,
        )  # fmt: skip
        return
    for one in plan.short[:N_SHOWN]:
        name = one.sub_area if one.sub_area == one.region else f"{one.region}, {one.sub_area}"
        console.warn(f"{name}: {one.n_points} of {one.n_wanted} points: {one.reason}", as_json=False)
    if len(plan.short) > N_SHOWN:
        console.warn(f"and {len(plan.short) - N_SHOWN} more areas have fewer than wanted", as_json=False)
    counts = sorted({one.n_points for one in plan.counts if not one.reason})
    each = f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}" if counts else "fewer"
    lines = [
        f"{out}: {plan.n_points:,} points in {len(plan.counts):,} areas, {each} in each that could have "
        f"all, {n_none:,} areas without any; {len(plan.views):,} views, {n_headings} a point",
        f"next: placeprint imagery fetch {out} --provider mapillary --out pictures",
    ]
    for line in lines:
        console.out.print(line, markup=False, soft_wrap=True)


def show_fetched(report: FetchReport, out: Path, *, as_json: bool) -> None:
    """The last word of `imagery fetch`: what was found, fetched, dropped and missed."""
    manifest = out / MANIFEST
    for view, reason in list(report.failures.items())[: None if as_json else N_SHOWN]:
        console.show_failure(view, reason, as_json=as_json)
    if as_json:
        console.say(
            "report", manifest=str(manifest), views=report.n_views, found=report.n_found,
            downloaded=report.n_downloaded, placeholders=report.n_placeholders,
            with_picture=report.n_with_picture, nothing_near=report.n_nothing_near,
            failed=len(report.failures), left=report.n_left,
            settled_before=report.n_settled_before, pictures=report.n_pictures,
            areas=len(report.per_area), areas_without_pictures=list(report.per_area.values()).count(0),
            bytes=report.n_bytes, dollars=round(report.cost, 3), stopped_by=report.stopped_by,
        )  # fmt: skip
        return
    if len(report.failures) > N_SHOWN:
        console.err.print(f"… and {len(report.failures) - N_SHOWN} more")
    cost = f", ${report.cost:,.2f}" if report.cost else ""
    before = f"; {report.n_settled_before:,} settled by earlier runs" if report.n_settled_before else ""
    areas = sorted(report.per_area.values())
    lines = [
        f"{report.n_found:,} pictures found, {report.n_downloaded:,} downloaded, {report.n_placeholders:,} "
        "placeholders dropped",
        f"{report.n_views:,} views: {report.n_with_picture:,} with a picture, {report.n_nothing_near:,} with "
        f"nothing near, {len(report.failures):,} failed, {report.n_left:,} not asked about yet{before}",
        f"{out}: {report.n_pictures:,} pictures, {report.n_bytes / 1e6:,.1f} MB downloaded{cost}",
    ]
    if len(areas) > 1:
        each = f"{areas[0]:,} to {areas[-1]:,} pictures in each"
        lines.append(f"{len(areas):,} areas: {each}, {areas.count(0):,} have none")
    if report.stopped_by:
        lines.append(f"stopped by {report.stopped_by}; with a higher limit the same command goes on")
    if report.failures:
        lines.append("what failed is tried again by the same command")
    if report.n_pictures:
        lines.append(f"next: placeprint index {manifest} --gallery NAME")
    for line in lines:
        console.out.print(line, markup=False, soft_wrap=True)
