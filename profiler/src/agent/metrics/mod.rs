//! What Prometheus is told: one table of metrics, and everything that is made of it.
//!
//! - `table`: every metric: name, help, unit, type, labels, the view it needs, where its values are. The exposition,
//!   `docs/metrics.md` and the check of the dashboards come from here
//! - `exposition`: walks the table over a reading
//! - `rows`: labels of the rows of a reading, and the limit of series
//! - `label`: values of labels, bounded
//! - `bounds`: from histograms of the ledger to those of Prometheus
//! - `classic`: from OpenMetrics to the text format 0.0.4
//! - `process`: what the agent itself costs
//! - `markdown`: `docs/metrics.md`

mod bounds;
mod classic;
mod exposition;
mod label;
pub mod markdown;
mod process;
mod rows;
pub mod table;

use std::sync::Arc;

pub use rows::group_labels;

use super::self_figures::SelfFigures;
use super::settings::{Labels, Settings};
use crate::model::{Grouping, Reading};

/// A format that Prometheus reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.
    #[default]
    OpenMetrics,
    /// The classic text format, version 0.0.4.
    Text,
}

impl Format {
    /// What the header `Content-Type` says.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// What an exposition is to contain.
#[derive(Clone, Debug)]
pub struct Options {
    /// By what the rows of the reading are told apart: it decides the labels.
    pub grouping: Grouping,
    /// Labels beside those of the grouping, on every series of a row; `ctprof_container_info` has them in any case.
    pub labels: Labels,
    /// Most series; rows that do not fit any more are left out whole, and counted in `ctprof_groups_dropped`.
    pub max_series: usize,
}

impl From<&Settings> for Options {
    fn from(settings: &Settings) -> Self {
        Self {
            grouping: settings.grouping,
            labels: settings.labels,
            max_series: settings.max_series,
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::from(&Settings::default())
    }
}

/// The text that answers a scrape.
#[must_use]
pub fn encode(
    reading: &Arc<Reading>,
    own: &SelfFigures,
    format: Format,
    options: &Options,
) -> String {
    let text = exposition::open_metrics(reading, own, options);
    match format {
        Format::OpenMetrics => text,
        Format::Text => classic::from_open_metrics(&text),
    }
}
