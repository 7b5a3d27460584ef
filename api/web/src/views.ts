/** The page's views, in the order of their tabs. A new one is a module and a line here. */
import type { ViewKind } from "./context";
import { locateView } from "./view_locate";
import { placesView } from "./view_places";
import { searchView } from "./view_search";

export const VIEWS: readonly ViewKind[] = [searchView, locateView, placesView];
