//! What it counts one by one, in slices and where windows are compared: toys, by their names.

use super::Toy;
use crate::model::comparable::{Comparable, Dimension, Read, WAITING};
use crate::model::{Container, Figures as _, Loss, Measured, Slice, ViewLoss};
use crate::views::{Amount, Named};

/// What can be lost of it.
pub(super) const BROKEN: Loss = Loss::OfView(&ViewLoss {
    name: "toy_broken",
    meaning: Some(["toy broke", "toys broke"]),
});

pub(super) const COMPARED: &[Comparable] = &[Comparable {
    id: "toy.total",
    meaning: "toys",
    between_runs: WAITING,
    read: Read::Sum(Dimension::Number, count),
}];

pub(super) const NAMED: Named = Named {
    name: |number| (format!("toy{number}"), "wooden".to_owned()),
    bare_on_disk: false,
    per: "toy",
    unit: "game",
    count: ("games with it", WAITING),
    mean: ("length of such a game", WAITING),
    all,
};

fn count(row: &Container, slice: &Slice) -> f64 {
    let view = Toy::VIEW;
    let toys = slice.items_of(row, &view);
    toys.map(|(_, part)| part.count as f64).sum()
}

fn all(measured: &Measured) -> Option<Vec<Amount>> {
    let toy = measured.get::<Toy>()?;
    let amount = Amount {
        name: toy.reader.clone(),
        count: toy.read_bytes,
        ns: Some(toy.read_bytes),
    };
    Some(vec![amount])
}
