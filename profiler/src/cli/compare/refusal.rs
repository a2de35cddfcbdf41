//! Why nothing can be compared, in words.

use crate::Error;
use crate::compare::Refusal;
use crate::model::text::printable;
use crate::target::nearest;

/// Longest list of names in an error.
const MAX_HINT_CHARS: usize = 400;

/// A refusal in one line, with the nearest names.
pub(super) fn refused(refusal: Refusal) -> Error {
    // The names are from files that anyone may have written.
    let list = |names: &[String]| printable(&names.join(", "), MAX_HINT_CHARS);
    let hint = |wanted: &str, names: &[String]| {
        let all = match names {
            [] => "; there is none".to_owned(),
            names => format!("; there are {}", names.join(", ")),
        };
        let names = names.iter().map(String::as_str);
        printable(&nearest::hint(wanted, names, &all), MAX_HINT_CHARS)
    };
    match refusal {
        Refusal::NothingMatches(a, b) if a.is_empty() || b.is_empty() => {
            let which = if a.is_empty() { "A" } else { "B" };
            Error::NotFound(format!("cannot compare: nothing happened in {which}"))
        }
        Refusal::NothingMatches(a, b) => Error::NotFound(format!(
            "cannot compare: no row of B has the name of one of A's; say which is which with --match A=B; A has {}; B has {}",
            list(&a),
            list(&b)
        )),
        Refusal::NoRow(name, in_b, names) => Error::NotFound(format!(
            "no row {name:?} in {}{}",
            if in_b { "B" } else { "A" },
            hint(&name, &names)
        )),
        Refusal::NoWork(work, names) => {
            let wanted = work.rsplit(' ').next().unwrap_or_default().to_owned();
            Error::Usage(format!(
                "cannot measure by {work}: no row has any in both{}",
                hint(&wanted, &names)
            ))
        }
        Refusal::NoSuchThing(rule, what, names) => {
            let wanted = what.split('"').nth(1).unwrap_or(&what).to_owned();
            Error::Usage(format!(
                "cannot judge {rule:?}: {what}{}",
                if names.is_empty() {
                    String::new()
                } else {
                    hint(&wanted, &names)
                }
            ))
        }
    }
}
