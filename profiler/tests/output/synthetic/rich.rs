//! A window with a whole ledger: a victim of its quota, a noisy neighbour, a database on a slow disk, a server that
//! mostly waits, sleepers, the host, the kernel, and a container that the ledger does not know.

use ctprof::model::{
    CfsFigures, ContainerIdentity, Culprit, Ledger, Loss, Pod, Runtime, State, Unavailable, ViewId,
    Window, stand_in,
};
use ctprof::views::counters::Counters;
use ctprof::views::psi::{Psi, Stall};

use super::ledger::{MS, delays, histogram};
use super::slices::slices;
use super::{Maker, PERIOD_NS, named};

/// The window. Containers are, in this order: render, noisy, db, api, sleepy, late, host, kernel.
pub(crate) fn rich() -> Window {
    let mut m = Maker::new();
    render(&mut m);
    noisy(&mut m);
    db(&mut m);
    api(&mut m);

    m.container(named("sleepy", Runtime::Docker, &"aa".repeat(32)));
    let before = m.stand_in(stand_in::BEFORE);
    m.off_cpu(
        "sleep",
        (State::BlockedSleep, "clock_nanosleep"),
        &[before],
        0,
        10_000 * MS,
    );
    m.ledger(1, 10_000, Ledger::default());

    // Born when every slot was taken: it was sampled, and that is all.
    m.container(named("late", Runtime::Docker, &"1a7e".repeat(16)));
    let frames = [m.user("main"), m.user("spin")];
    m.stack(700, "late", &frames, 12);

    rest_of_host(&mut m);
    m.window.unavailable.push(Unavailable {
        view: ViewId::new("hardware_counters"),
        cause: "this machine counts no cycles; a virtual machine needs a virtual PMU".into(),
    });
    m.window.lost.insert(Loss::StackMapFull, 7);
    m.window.slices_ns = vec![2_500 * MS; 4];
    for row in &mut m.window.rows {
        slices(row);
    }
    m.window
}

/// 3 threads that could all run, and a quota of 0.3 CPU.
fn render(m: &mut Maker) {
    m.container(ContainerIdentity {
        image: "shop/render:2".into(),
        ..named("render", Runtime::Docker, &"c0ffee".repeat(10))
    });
    let (start, main) = (m.user("_start"), m.user("main"));
    let (render, encode) = (m.user("render"), m.inlined("encode"));
    let (exit_to_user, schedule) = (m.kernel("exit_to_user_mode_loop"), m.kernel("schedule"));
    for (thread, samples) in [("render-1", 100), ("render-2", 98), ("render-3", 92)] {
        m.stack(100, thread, &[start, main, render], samples / 2);
        m.stack(100, thread, &[start, main, render, encode], samples / 2);
        // Half of the quota burns in `encode`.
        let app = m.window.rows.last_mut().unwrap();
        app.stacks.last_mut().unwrap().burnt_quota = true;
        for (frames, share) in [
            (vec![start, main, render], 3),
            (vec![start, main, render, encode], 1),
        ] {
            let stopped = [frames.as_slice(), &[exit_to_user, schedule]].concat();
            m.off_cpu(
                thread,
                (State::Throttled, ""),
                &stopped,
                30 * share,
                share * 2_080 * MS,
            );
        }
        m.off_cpu(
            thread,
            (State::RunQueue, ""),
            &[start, main, render],
            400,
            500 * MS,
        );
    }
    m.exactly(State::OnCpuUser, 3_000);
    m.ledger(
        3,
        29_500,
        Ledger {
            voluntary_switches: 3,
            involuntary_switches: 1_560,
            migrations: 41,
            run_queue_latency: histogram(&[700, 200, 200, 50, 30, 15, 5], 1_500 * MS),
            throttle_duration: histogram(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 360], 24_960 * MS),
            delayed_by: delays(&[
                (Culprit::Row(1), 1_170),
                (Culprit::Siblings, 210),
                (Culprit::Row(6), 60),
                (Culprit::Row(7), 40),
                (Culprit::Idle, 5),
                (Culprit::Unknown, 15),
            ]),
            ..Ledger::default()
        },
    );
    let app = m.window.rows.last_mut().unwrap();
    app.cpu_quota_cores = Some(0.3);
    app.cfs = Some(CfsFigures {
        usage_ns: Some(2_998 * MS),
        periods: 100,
        throttled_periods: 97,
        throttled_ns: 13_240 * MS,
        throttled_local_ns: Some(13_250 * MS),
        bursts: 2,
        burst_ns: 30 * MS,
    });
    app.measured.insert(Psi {
        cpu: Some(Stall {
            some_ns: 9_800 * MS,
            full_ns: 9_100 * MS,
        }),
        io: None,
        memory: Some(Stall::default()),
    });
    app.measured.insert(Counters {
        page_faults: Some(1_203),
        context_switches: Some(1_563),
        migrations: Some(41),
        ..Counters::default()
    });
}

/// 2 threads that take what they can get.
fn noisy(m: &mut Maker) {
    m.container(named("noisy", Runtime::Docker, &"bad0".repeat(16)));
    let (main, spin) = (m.user("main"), m.user("spin"));
    m.stack(200, "noisy", &[main, spin], 1_188);
    m.off_cpu(
        "noisy",
        (State::RunQueue, ""),
        &[main, spin],
        2_000,
        8_000 * MS,
    );
    m.exactly(State::OnCpuUser, 12_000);
    m.ledger(
        2,
        20_000,
        Ledger {
            involuntary_switches: 2_000,
            run_queue_latency: histogram(&[0, 0, 0, 0, 1_000, 1_000], 8_000 * MS),
            delayed_by: delays(&[
                (Culprit::Siblings, 4_800),
                (Culprit::Row(0), 1_700),
                (Culprit::Row(2), 900),
                (Culprit::Elsewhere("batch".into()), 600),
            ]),
            ..Ledger::default()
        },
    );
    let app = m.window.rows.last_mut().unwrap();
    app.measured.insert(Counters {
        cycles: Some(36_000_000_000),
        instructions: Some(25_920_000_000),
        cache_misses: Some(81_000_000),
        page_faults: Some(2),
        ..Counters::default()
    });
}

/// Commits to a slow disk, and backends that wait for each other; 20 pool threads have nothing to do.
fn db(m: &mut Maker) {
    m.container(ContainerIdentity {
        image: "postgres:17".into(),
        pod: Some(Pod {
            namespace: "shop".into(),
            name: "db-0".into(),
        }),
        ..named("postgres", Runtime::Containerd, &"db".repeat(32))
    });
    let (main, handle) = (m.user("main"), m.user("handle_query"));
    let (commit, fsync) = (m.user("db_commit"), m.user("fsync"));
    let kernel = [
        m.kernel("entry_SYSCALL_64"),
        m.kernel("do_fsync"),
        m.kernel("schedule"),
    ];
    let (lock, futex) = (m.user("pthread_mutex_lock"), m.kernel("futex_wait"));
    let (load, handle_fault) = (m.user("load_page"), m.kernel("handle_mm_fault"));
    let epoll = [m.user("epoll_wait"), m.kernel("ep_poll")];
    let scan = m.user("scan_table");
    m.stack(300, "postgres", &[main, handle, scan], 165);
    m.stack(
        300,
        "postgres",
        &[main, handle, commit, fsync, kernel[0], kernel[1]],
        33,
    );
    m.in_call("fsync");
    let committing = [&[main, handle, commit, fsync][..], &kernel].concat();
    m.off_cpu(
        "postgres",
        (State::BlockedDisk, "fsync"),
        &committing,
        412,
        3_120 * MS,
    );
    m.off_cpu(
        "postgres",
        (State::BlockedDisk, "pread64"),
        &[main, handle, scan, kernel[2]],
        88,
        380 * MS,
    );
    m.off_cpu(
        "postgres",
        (State::BlockedLock, "futex"),
        &[main, handle, lock, futex],
        640,
        2_400 * MS,
    );
    m.off_cpu(
        "postgres",
        (State::BlockedFault, ""),
        &[main, load, handle_fault],
        75,
        310 * MS,
    );
    m.off_cpu(
        "postgres",
        (State::BlockedPoll, "epoll_wait"),
        &[main, epoll[0], epoll[1]],
        900,
        1_660 * MS,
    );
    m.off_cpu(
        "postgres",
        (State::RunQueue, ""),
        &[main, handle],
        600,
        100 * MS,
    );
    m.off_cpu(
        "postgres",
        (State::RunQueue, "fsync"),
        &committing,
        412,
        30 * MS,
    );
    let before = m.stand_in(stand_in::BEFORE);
    for number in 1..=20 {
        m.off_cpu(
            &format!("pool-{number}"),
            (State::BlockedLock, "futex"),
            &[before, futex],
            0,
            10_000 * MS,
        );
    }
    m.exactly(State::OnCpuUser, 1_500);
    m.exactly(State::OnCpuKernel, 500);
    m.ledger(
        21,
        210_000,
        Ledger {
            voluntary_switches: 2_115,
            involuntary_switches: 60,
            run_queue_latency: histogram(&[500, 80, 20], 130 * MS),
            delayed_by: delays(&[(Culprit::Row(1), 90), (Culprit::Row(6), 40)]),
            ..Ledger::default()
        },
    );
    let app = m.window.rows.last_mut().unwrap();
    app.measured.insert(Psi {
        io: Some(Stall {
            some_ns: 3_400 * MS,
            full_ns: 3_300 * MS,
        }),
        ..Psi::default()
    });
}

/// A server: it answers, then waits for the next request, a peer, a worker, a child.
fn api(m: &mut Maker) {
    m.container(named("api", Runtime::CriO, &"a91".repeat(21)));
    let (main, accept) = (m.user("main"), m.user("serve"));
    let (fetch, recv) = (m.user("fetch_prices"), m.user("recv"));
    let back_off = m.user("back_off");
    m.stack(400, "api", &[main, accept], 99);
    m.off_cpu(
        "api",
        (State::BlockedNet, "recvfrom"),
        &[main, accept, fetch, recv],
        300,
        5_000 * MS,
    );
    m.off_cpu(
        "api",
        (State::BlockedPipe, "read"),
        &[main, accept],
        10,
        1_000 * MS,
    );
    m.off_cpu("api", (State::BlockedChild, "wait4"), &[main], 2, 700 * MS);
    m.off_cpu(
        "api",
        (State::BlockedSleep, "clock_nanosleep"),
        &[main, back_off],
        20,
        800 * MS,
    );
    m.off_cpu("api", (State::BlockedOther, ""), &[main], 1, 100 * MS);
    m.off_cpu(
        "api",
        (State::BlockedPoll, "epoll_wait"),
        &[main, accept],
        500,
        1_380 * MS,
    );
    m.off_cpu("api", (State::RunQueue, ""), &[main, accept], 200, 20 * MS);
    m.exactly(State::OnCpuUser, 1_000);
    m.ledger(
        1,
        10_000,
        Ledger {
            threads_born: 2,
            threads_exited: 2,
            run_queue_latency: histogram(&[200], 20 * MS),
            delayed_by: delays(&[(Culprit::Row(1), 20)]),
            ..Ledger::default()
        },
    );
}

/// Daemons that mostly sleep, and kernel threads.
fn rest_of_host(m: &mut Maker) {
    m.container(ContainerIdentity {
        cgroup: String::new(),
        ..named("host", Runtime::Host, "")
    });
    let main = m.user("main");
    m.stack(1, "systemd", &[main], 10);
    for (thread, ms) in [("systemd", 9_899), ("sshd", 10_000), ("cron", 10_000)] {
        m.off_cpu(
            thread,
            (State::BlockedPoll, "epoll_wait"),
            &[main],
            3,
            ms * MS,
        );
    }
    m.ledger(3, 30_000, Ledger::default());
    let container = m.window.rows.last_mut().unwrap();
    container.threads = None;
    assert_eq!(container.time_ns[&State::OnCpuUser], 10 * PERIOD_NS);

    m.container(ContainerIdentity {
        cgroup: String::new(),
        ..named("kernel", Runtime::Kernel, "")
    });
    let (fork, kthread) = (m.kernel("ret_from_fork"), m.kernel("kthread"));
    m.stack(2, "kworker/0:1", &[fork, kthread], 12);
    let worker = m.kernel("worker_thread");
    for thread in ["kworker/0:1", "kworker/1:2"] {
        m.off_cpu(
            thread,
            (State::BlockedOther, ""),
            &[fork, kthread, worker],
            40,
            9_900 * MS,
        );
    }
    m.ledger(2, 20_000, Ledger::default());
    m.window.rows.last_mut().unwrap().threads = None;
}
