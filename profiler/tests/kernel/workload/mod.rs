//! The programs whose truth is known: `kernel workload NAME [--option value]…`.

mod burn;
mod events;

use std::collections::HashMap;
use std::process::ExitCode;
use std::time::Duration;

/// What stands behind the name.
struct Options(HashMap<String, String>);

impl Options {
    /// A number; `default` if it is not given.
    fn number(&self, name: &str, default: u64) -> u64 {
        let value = self.0.get(name);
        value
            .and_then(|value| value.parse().ok())
            .unwrap_or(default)
    }

    /// `--ms`, a second if it is not given.
    fn duration(&self) -> Duration {
        Duration::from_millis(self.number("--ms", 1000))
    }
}

/// Runs the workload that `args` names.
pub(crate) fn main(mut args: impl Iterator<Item = String>) -> ExitCode {
    let name = args.next().unwrap_or_default();
    let mut options = HashMap::new();
    while let (Some(name), Some(value)) = (args.next(), args.next()) {
        options.insert(name, value);
    }
    let options = Options(options);
    match name.as_str() {
        "burn" => burn::burn(&options),
        "sleep" => std::thread::sleep(options.duration()),
        "exit" => {
            let code = options.number("--code", 0);
            return ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX));
        }
        "events" => events::events(&options),
        _ => {
            println!("no workload called {name:?}");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}
