//! Makes stacks and ledger agree: the ledger is exact, stacks of the CPU are sampled, and some were not kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Placeholders;
use crate::model::{Container, Stack, State, StateGroup};

/// Divides a container's time on the CPU into user and kernel time as its samples are divided, scales its on-CPU
/// stacks to its exact time on the CPU, and adds what other states have no stacks for.
///
/// Without samples, `kernel_share` of the time is kernel time; `with_stacks` says whether stacks were taken at all.
pub fn balance(
    container: &mut Container,
    placeholders: Placeholders,
    kernel_share: Option<f64>,
    with_stacks: bool,
) {
    let mut sampled: BTreeMap<State, u64> = BTreeMap::new();
    for stack in &container.stacks {
        *sampled.entry(stack.state).or_default() += stack.time_ns;
    }
    let of = |state| sampled.get(&state).copied().unwrap_or(0);
    let samples_ns = of(State::OnCpuUser) + of(State::OnCpuKernel);
    if container.ledger.is_none() {
        for state in [State::OnCpuUser, State::OnCpuKernel] {
            container.time_ns.insert(state, of(state));
        }
        return;
    }
    let on_cpu_ns: u64 = [State::OnCpuUser, State::OnCpuKernel]
        .iter()
        .filter_map(|state| container.time_ns.get(state))
        .sum();
    let kernel_ns = if samples_ns > 0 {
        part(on_cpu_ns, of(State::OnCpuKernel), samples_ns)
    } else {
        (on_cpu_ns as f64 * kernel_share.unwrap_or(0.0)) as u64
    }
    .min(on_cpu_ns);
    container.time_ns.insert(State::OnCpuKernel, kernel_ns);
    container
        .time_ns
        .insert(State::OnCpuUser, on_cpu_ns - kernel_ns);
    if !with_stacks {
        return;
    }
    let mut rests: Vec<(State, u64)> = Vec::new();
    for (state, exact) in &container.time_ns {
        let stacks_ns = of(*state);
        if *exact > stacks_ns && (state.group() != StateGroup::OnCpu || stacks_ns == 0) {
            rests.push((*state, exact - stacks_ns));
        }
    }
    let exact = &container.time_ns;
    for stack in &mut container.stacks {
        let all = of(stack.state);
        let exact = exact.get(&stack.state).copied().unwrap_or(0);
        if stack.state.group() == StateGroup::OnCpu || all > exact {
            stack.time_ns = part(exact, stack.time_ns, all);
        }
    }
    for (state, time_ns) in rests {
        container.stacks.push(Stack {
            state,
            pid: 0,
            thread: Arc::from("[any]"),
            frames: vec![placeholders.missing],
            count: 0,
            time_ns,
            syscall: None,
            burnt_quota: false,
        });
    }
}

/// `whole * share / all`, without overflow.
fn part(whole: u64, share: u64, all: u64) -> u64 {
    if all == 0 {
        return 0;
    }
    u64::try_from(u128::from(whole) * u128::from(share) / u128::from(all)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::balance;
    use crate::aggregate::Placeholders;
    use crate::model::{Container, FrameTable, Ledger, Stack, State, StateGroup};

    fn stack(state: State, count: u64, time_ns: u64) -> Stack {
        Stack {
            state,
            pid: 1,
            thread: Arc::from("t"),
            frames: Vec::new(),
            count,
            time_ns,
            syscall: None,
            burnt_quota: false,
        }
    }

    #[test]
    fn stacks_add_up_to_the_ledger() {
        let mut container = Container {
            ledger: Some(Ledger::default()),
            time_ns: [
                (State::OnCpuUser, 1_000),
                (State::RunQueue, 50),
                (State::BlockedLock, 700),
            ]
            .into(),
            stacks: vec![
                stack(State::OnCpuUser, 3, 300),
                stack(State::OnCpuUser, 3, 300),
                stack(State::OnCpuKernel, 2, 200),
                stack(State::BlockedLock, 1, 600),
                stack(State::RunQueue, 1, 60),
            ],
            ..Container::default()
        };
        let placeholders = Placeholders::of(&mut FrameTable::default());
        balance(&mut container, placeholders, None, true);
        assert_eq!(container.time_ns[&State::OnCpuUser], 750);
        assert_eq!(container.time_ns[&State::OnCpuKernel], 250);
        for group in StateGroup::ALL {
            let of_stacks: u64 = container
                .stacks
                .iter()
                .filter(|stack| stack.state.group() == group)
                .map(|stack| stack.time_ns)
                .sum();
            let of_ledger: u64 = container
                .time_ns
                .iter()
                .filter(|(state, _)| state.group() == group)
                .map(|(_, ns)| ns)
                .sum();
            assert_eq!(of_stacks, of_ledger, "{group:?}");
        }
    }

    #[test]
    fn without_samples_the_cgroup_says_how_much_was_kernel_time() {
        let mut container = Container {
            ledger: Some(Ledger::default()),
            time_ns: [(State::OnCpuUser, 1_000)].into(),
            ..Container::default()
        };
        let placeholders = Placeholders::of(&mut FrameTable::default());
        balance(&mut container, placeholders, Some(0.3), false);
        assert_eq!(container.time_ns[&State::OnCpuKernel], 300);
        assert_eq!(container.time_ns[&State::OnCpuUser], 700);
        assert!(container.stacks.is_empty());
    }
}
