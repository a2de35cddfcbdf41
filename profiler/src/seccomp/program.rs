//! A filter as the kernel takes it: classic BPF over `struct seccomp_data` (seccomp(2)). For what ctprof itself gives up;
//! profiles of containers are text, which runtimes make filters of.
//!
//! A filter sees numbers and registers, never memory: what a call gets in a structure (`openat2`, `clone3`) cannot be
//! judged.

use libc::{
    BPF_ABS, BPF_ALU, BPF_AND, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W,
    SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO, SECCOMP_RET_KILL_PROCESS, sock_filter,
};

/// Offsets in `struct seccomp_data`; arguments are 64 bits wide, and their lower halves come first.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const ARGUMENTS: u32 = 16;
/// Numbers of x32 have this bit.
const X32: u32 = 0x4000_0000;

/// `AUDIT_ARCH_*` of this machine, from the kernel's `audit.h`.
const NATIVE: u32 = if cfg!(target_arch = "aarch64") {
    0xc000_00b7
} else {
    0xc000_003e
};

/// When a call is denied. Only the lower 32 bits of an argument are looked at: flags, commands and ids are no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Whatever its arguments.
    Always,
    /// The argument at this index has any of these bits.
    AnyBit(u32, u32),
    /// It has none of these bits.
    NoBit(u32, u32),
    /// It has this value.
    Is(u32, u32),
    /// It has another value.
    IsNot(u32, u32),
}

/// A call that fails with an error.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Its number.
    pub number: i64,
    /// When.
    pub when: When,
    /// The error.
    pub error: i32,
}

/// The filter that denies what the rules say, and every call by the numbers of another ABI; everything else is allowed. A
/// call may have several rules: any of them denies.
#[must_use]
pub fn program(rules: &[Rule]) -> Vec<sock_filter> {
    let mut code = vec![
        load(ARCH),
        jump(BPF_JEQ, NATIVE, 1, 0),
        statement(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        load(NUMBER),
        jump(BPF_JGE, X32, 0, 1),
        fail(libc::EPERM),
    ];
    for rule in rules {
        let Ok(number) = u32::try_from(rule.number) else {
            continue;
        };
        let deny = fail(rule.error);
        // Each block ends with the number loaded again, where it has loaded anything else.
        let compared = |index: u32, test: &[sock_filter]| {
            let mut block = vec![load(ARGUMENTS + 8 * index)];
            block.extend_from_slice(test);
            block.extend([deny, load(NUMBER)]);
            block
        };
        let masked = |bits| statement(BPF_ALU | BPF_AND | BPF_K, bits);
        let block = match rule.when {
            When::Always => vec![deny],
            When::AnyBit(index, bits) => compared(index, &[masked(bits), jump(BPF_JEQ, 0, 1, 0)]),
            When::NoBit(index, bits) => compared(index, &[masked(bits), jump(BPF_JEQ, 0, 0, 1)]),
            When::Is(index, value) => compared(index, &[jump(BPF_JEQ, value, 0, 1)]),
            When::IsNot(index, value) => compared(index, &[jump(BPF_JEQ, value, 1, 0)]),
        };
        // Blocks have five instructions at most.
        code.push(jump(BPF_JEQ, number, 0, block.len() as u8));
        code.extend(block);
    }
    code.push(statement(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    code
}

const fn load(offset: u32) -> sock_filter {
    statement(BPF_LD | BPF_W | BPF_ABS, offset)
}

const fn fail(error: i32) -> sock_filter {
    statement(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error as u32)
}

const fn statement(code: u32, k: u32) -> sock_filter {
    sock_filter {
        code: code as u16,
        jt: 0,
        jf: 0,
        k,
    }
}

const fn jump(how: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter {
        code: (BPF_JMP | how | BPF_K) as u16,
        jt,
        jf,
        k,
    }
}

#[cfg(test)]
mod tests {
    use libc::{ENOSYS, EPERM, SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO, SECCOMP_RET_KILL_PROCESS};

    use super::{NATIVE, Rule, When, program};

    /// What the filter returns: an interpreter of the instructions that there are.
    fn run(rules: &[Rule], arch: u32, number: u32, arguments: [u64; 6]) -> u32 {
        let mut data = Vec::new();
        data.extend(number.to_ne_bytes());
        data.extend(arch.to_ne_bytes());
        data.extend(0_u64.to_ne_bytes());
        arguments
            .iter()
            .for_each(|it| data.extend(it.to_ne_bytes()));
        let code = program(rules);
        let (mut at, mut value) = (0, 0_u32);
        loop {
            let it = code[at];
            at += 1;
            match u32::from(it.code) {
                0x20 => {
                    let from = it.k as usize;
                    value = u32::from_ne_bytes(data[from..from + 4].try_into().unwrap());
                }
                0x54 => value &= it.k,
                0x15 => at += usize::from(if value == it.k { it.jt } else { it.jf }),
                0x35 => at += usize::from(if value >= it.k { it.jt } else { it.jf }),
                0x06 => return it.k,
                other => panic!("instruction {other:#x}"),
            }
        }
    }

    #[test]
    fn rules_and_other_abis() {
        let rule = |number, when, error| Rule {
            number,
            when,
            error,
        };
        let rules = [
            rule(101, When::Always, EPERM),
            rule(257, When::AnyBit(2, 0o3), EPERM),
            rule(257, When::AnyBit(2, 0o100), ENOSYS),
            rule(56, When::NoBit(0, 0x1_0000), EPERM),
            rule(72, When::Is(1, 8), EPERM),
            rule(234, When::IsNot(0, 77), EPERM),
        ];
        let fails = |error: i32| SECCOMP_RET_ERRNO | error as u32;
        for (number, arguments, expected) in [
            (101, [0; 6], fails(EPERM)),
            (100, [0; 6], SECCOMP_RET_ALLOW),
            (257, [0, 0, 0o2000000, 0, 0, 0], SECCOMP_RET_ALLOW),
            (257, [0, 0, 0o2000001, 0, 0, 0], fails(EPERM)),
            (257, [0, 0, 0o100, 0, 0, 0], fails(ENOSYS)),
            (56, [0x1_0000, 0, 0, 0, 0, 0], SECCOMP_RET_ALLOW),
            (56, [0x11, 0, 0, 0, 0, 0], fails(EPERM)),
            (72, [0, 8, 0, 0, 0, 0], fails(EPERM)),
            (72, [8, 7, 0, 0, 0, 0], SECCOMP_RET_ALLOW),
            (234, [77, 0, 0, 0, 0, 0], SECCOMP_RET_ALLOW),
            (234, [78, 77, 0, 0, 0, 0], fails(EPERM)),
            // The kernel takes the lower half of an `int`; so does the filter.
            (72, [0, 1 << 32 | 8, 0, 0, 0, 0], fails(EPERM)),
            (0x4000_0000, [0; 6], fails(EPERM)),
            (0x4000_0064, [0; 6], fails(EPERM)),
        ] {
            assert_eq!(run(&rules, NATIVE, number, arguments), expected, "{number}");
        }
        assert_eq!(
            run(&rules, 0x4000_0003, 100, [0; 6]),
            SECCOMP_RET_KILL_PROCESS
        );
    }
}
