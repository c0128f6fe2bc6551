//! How a task was routed, in a line, and what of the router's answer was not taken.

use super::page::Page;
use super::text::{code, line_of, quote, strong};
use super::words;
use crate::domain::Route;

/// Models that a line names; more are told by their number.
const MOST_NAMED: usize = 6;

pub(super) fn routed(route: &Route) -> Page {
    let mut line = line_of![strong("Routed"), ": ", words::workflow(route.workflow)];
    let mut chosen =
        route.models.iter().flat_map(|(role, models)| models.iter().map(move |model| (role, model)));
    for (role, model) in chosen.by_ref().take(MOST_NAMED) {
        line.extend(line_of!["; ", code(role.as_str()), " asks ", code(model)]);
    }
    let more = chosen.count();
    if more > 0 {
        line.extend(line_of!["; and ", more, " more"]);
    }
    if route.controls.debate {
        line.extend(line_of!["; up to ", route.controls.most_rounds(), " rounds with the critic"]);
    }
    line.push(".");
    let mut page = Page::default();
    page.paragraph(line);
    if !route.corrected.is_empty() {
        page.paragraph("Of the router's answer this was not taken:");
        page.bullets(route.corrected.iter().map(|what| quote(what).into()).collect());
    }
    page
}
