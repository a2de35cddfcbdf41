//! Makes stacks and ledger agree: the ledger is exact, stacks of the CPU are sampled, and some were not kept.

use std::collections::BTreeMap;

use crate::model::{Container, State, StateGroup};

/// Divides a container's time on the CPU into user and kernel time as its samples are divided, and scales its on-CPU
/// stacks to its exact time on the CPU. No state has more time in its stacks than in the ledger after this.
pub fn balance(container: &mut Container) {
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
    if samples_ns > 0 {
        let kernel_ns = part(on_cpu_ns, of(State::OnCpuKernel), samples_ns);
        container.time_ns.insert(State::OnCpuKernel, kernel_ns);
        container
            .time_ns
            .insert(State::OnCpuUser, on_cpu_ns - kernel_ns);
    }
    let exact = &container.time_ns;
    for stack in &mut container.stacks {
        let all = of(stack.state);
        let exact = exact.get(&stack.state).copied().unwrap_or(0);
        if stack.state.group() == StateGroup::OnCpu || all > exact {
            stack.time_ns = part(exact, stack.time_ns, all);
        }
    }
}

/// `whole * share / all`, without overflow.
pub(crate) fn part(whole: u64, share: u64, all: u64) -> u64 {
    if all == 0 {
        return 0;
    }
    u64::try_from(u128::from(whole) * u128::from(share) / u128::from(all)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::balance;
    use crate::model::{Container, Ledger, Stack, State};

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
    fn no_stack_has_more_than_the_ledger() {
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
        balance(&mut container);
        assert_eq!(container.time_ns[&State::OnCpuUser], 750);
        assert_eq!(container.time_ns[&State::OnCpuKernel], 250);
        let times: Vec<u64> = container.stacks.iter().map(|stack| stack.time_ns).collect();
        // On-CPU scaled, blocked as it is (some of it has no stack), run queue not above the ledger.
        assert_eq!(times, [375, 375, 250, 600, 50]);
    }
}
