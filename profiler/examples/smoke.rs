#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::expect_used
)]
use ctprof::bpf::*;
use ctprof::host::btf::*;
fn main() {
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .init();
    let t = std::time::Instant::now();
    let btf = Btf::from_file(std::path::Path::new("/sys/kernel/btf/vmlinux")).unwrap();
    println!("btf {:?}", t.elapsed());
    let layout = Layout::resolve(&btf, true).unwrap();
    println!(
        "{layout:?} {:?} {:?}",
        t.elapsed(),
        btf.tracepoint_arguments("sched_switch")
    );
    drop(btf);
    let mut k = Kernel::load(&LoadPlan {
        layout: &layout,
        btf: None,
        cgroup_v1: true,
        hierarchy_id: 1,
        record_host: true,
        count_rows: 8192,
        stacks: 8192,
        log: true,
    })
    .unwrap();
    println!("loaded {:?}", t.elapsed());
    println!("{:?}", k.attach(&probes::CGROUP_MKDIR));
    println!("{:?}", k.attach(&probes::PROCESS_EXEC));
    let mut scope = ScopeMap::of(&mut k).unwrap();
    use std::os::unix::fs::MetadataExt;
    println!(
        "{:?}",
        scope.watch(std::fs::metadata("/sys/fs/cgroup/cpu").unwrap().ino(), 2)
    );
    let mut s = Sampler::start(&mut k, SamplingEvent::CpuClock, 99).unwrap();
    println!(
        "attached {:?} cycles {}",
        t.elapsed(),
        SamplingEvent::has_cycles()
    );
    let mut ev = Events::of(&mut k).unwrap();
    let mut maps = SampleMaps::of(&mut k).unwrap();
    let l = Losses::of(&mut k).unwrap();
    std::fs::create_dir("/sys/fs/cgroup/cpu/smoke").unwrap();
    std::thread::sleep(std::time::Duration::from_secs(2));
    std::fs::remove_dir("/sys/fs/cgroup/cpu/smoke").unwrap();
    k.flush_log();
    s.stop(&mut k);
    while let Some(e) = ev.next() {
        println!("{e:?}");
    }
    let mut n = 0;
    maps.drain_stacks(|_, _| n += 1).unwrap();
    for (k, c) in maps.finish().unwrap() {
        println!(
            "{c} slot {} {} {} {:x} {}",
            k.slot,
            k.tgid,
            k.exec_id,
            k.flags,
            String::from_utf8_lossy(&k.comm)
        );
    }
    println!("{n} stacks {:?}", l.read());
    println!(
        "{}",
        std::fs::read_to_string("/proc/self/status")
            .unwrap()
            .lines()
            .filter(|l| l.starts_with("VmHWM") || l.starts_with("VmRSS"))
            .collect::<Vec<_>>()
            .join("\n")
    );
}
