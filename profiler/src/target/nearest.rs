//! "Did you mean": the names nearest to one that does not exist.

/// Most names that are offered.
const OFFERED: usize = 3;

/// The names nearest to `wanted`, best first: those that contain it, then those a few typing errors away.
#[must_use]
pub fn nearest<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let wanted = wanted.trim_matches('/').to_lowercase();
    let allowed = (wanted.chars().count() / 3).max(2);
    let mut close: Vec<(usize, &str)> = names
        .into_iter()
        .filter_map(|name| {
            let lower = name.trim_matches('/').to_lowercase();
            if wanted.len() >= 2 && lower.contains(&wanted) {
                return Some((0, name));
            }
            // The edit distance of long names costs their product in time.
            if lower.len() > 512 || wanted.len() > 512 {
                return None;
            }
            let distance = strsim::damerau_levenshtein(&wanted, &lower);
            (distance <= allowed).then_some((distance, name))
        })
        .collect();
    close.sort_unstable();
    close.dedup();
    close.truncate(OFFERED);
    close.into_iter().map(|(_, name)| name).collect()
}

/// `; did you mean A, B?`, or `otherwise` when nothing is near.
#[must_use]
pub fn hint<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>, otherwise: &str) -> String {
    let near = nearest(wanted, names);
    if near.is_empty() {
        otherwise.to_owned()
    } else {
        format!("; did you mean {}?", near.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::{hint, nearest};

    #[test]
    fn typing_errors_and_parts() {
        let names = ["web", "worker", "postgres", "redis-cache", "redis-queue"];
        assert_eq!(nearest("wbe", names), ["web"]);
        assert_eq!(nearest("wroker", names), ["worker"]);
        assert_eq!(nearest("redis", names), ["redis-cache", "redis-queue"]);
        assert_eq!(nearest("Postgre", names), ["postgres"]);
        assert_eq!(nearest("mysql-primary", names), Vec::<&str>::new());
        assert_eq!(hint("wbe", names, "!"), "; did you mean web?");
        assert_eq!(hint("mysql-primary", names, "!"), "!");
    }
}
