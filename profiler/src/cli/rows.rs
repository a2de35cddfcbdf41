//! What a row is, as it is typed: `--by`.

use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::model::Grouping;

/// Names of groupings.
pub(super) fn parser() -> impl TypedValueParser<Value = Grouping> {
    let names = Grouping::ALL.map(|(_, name)| name);
    PossibleValuesParser::new(names).map(|name| Grouping::from_name(&name).unwrap_or_default())
}
