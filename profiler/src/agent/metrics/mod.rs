//! A reading as Prometheus reads it.

use crate::agent::self_figures::SelfFigures;
use crate::agent::settings::Labels;
use crate::model::Reading;

/// A format of Prometheus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.0.
    OpenMetrics,
    /// The classic text format 0.0.4.
    Text,
}

/// What else is said.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Labels beside those that tell rows apart.
    pub labels: Labels,
    /// What the agent knows of itself.
    pub own: SelfFigures,
}

/// Writes a reading down.
#[must_use]
pub fn encode(reading: &Reading, format: Format, options: &Options) -> String {
    let end = match format {
        Format::OpenMetrics => "# EOF\n",
        Format::Text => "",
    };
    let profiles = options.own.profiles_running;
    format!(
        "# HELP ctprof_uptime_seconds Time since the agent began to count.\n# TYPE ctprof_uptime_seconds gauge\nctprof_uptime_seconds {}\n# HELP ctprof_profiles_running Recordings on demand that run.\n# TYPE ctprof_profiles_running gauge\nctprof_profiles_running {profiles}\n{end}",
        reading.uptime.as_secs_f64()
    )
}
